package deployed

import (
	"context"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/sweep"
)

// purgeTime is how much of an invocation goes to deleted datasets at most. The
// rest of its 15 minutes is the sweeper's.
const purgeTime = 9 * time.Minute

// ServeSweeper removes what deleted datasets and crashes left behind whenever this
// process's Lambda function is invoked, whatever the event says: it goes on with
// the pass under way until shortly before the function's timeout, or begins one
// when it is time.
// It answers its report and logs it as one line. It returns only when it cannot
// start.
func ServeSweeper() error {
	catalog, err := openTable()
	if err != nil {
		return err
	}
	bucket, err := openBucket()
	if err != nil {
		return err
	}
	log := logger()
	purger := dataset.NewPurger(catalog, catalog, bucket, nil)
	sweeper := sweep.New(bucket, catalog, sweep.WithTask("purge", func(ctx context.Context) (any, error) {
		ctx, cancel := context.WithTimeout(ctx, purgeTime)
		defer cancel()
		return purger.Purge(ctx)
	}))
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
