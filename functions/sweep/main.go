// Command sweep is the Lambda function that a schedule has remove what deleted
// datasets and crashes left behind.
package main

import (
	"context"
	"log"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/deployed"
	"github.com/parqueue/parqueue/internal/deployed/bucket"
	"github.com/parqueue/parqueue/internal/deployed/table"
	"github.com/parqueue/parqueue/internal/objectstore"
	"github.com/parqueue/parqueue/internal/sweep"
)

// purgeTime is how much of an invocation goes to deleted datasets at most. The
// rest of its 15 minutes is the sweeper's.
const purgeTime = 9 * time.Minute

func main() { log.Fatal(serve()) }

// serve sweeps whenever the function is invoked, whatever the event says: it goes
// on with the pass under way until shortly before the function's timeout, or begins
// one when it is time. If the table was restored from a copy it leaves alone what was
// in the bucket by then. It answers its report and logs it as one line. It returns only
// when it cannot start.
func serve() error {
	catalog, err := table.Open()
	if err != nil {
		return err
	}
	files, err := bucket.Open()
	if err != nil {
		return err
	}
	log := deployed.Logger()
	purger := dataset.NewPurger(catalog, catalog, files, nil)
	purge := sweep.WithTask("purge", func(ctx context.Context) (any, error) {
		ctx, cancel := context.WithTimeout(ctx, purgeTime)
		defer cancel()
		return purger.Purge(ctx)
	})
	sweeper := sweep.New(files, catalog, purge, sweep.WithSparingWitness(objectstore.NewMark(files)), sweep.WithIdentity(catalog.TableID))
	lambda.Start(func(ctx context.Context) (sweep.Report, error) {
		report, err := sweeper.Sweep(ctx)
		if err != nil {
			log.ErrorContext(ctx, "swept", "report", report, "error", err)
			return report, err
		}
		log.InfoContext(ctx, "swept", "report", report)
		return report, nil
	})
	return nil
}
