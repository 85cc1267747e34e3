package deployed

import (
	"context"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/parqueue/parqueue/internal/sweep"
)

// ServeSweeper removes what crashes left behind whenever this process's Lambda
// function is invoked, whatever the event says: it goes on with the pass under
// way until shortly before the function's timeout, or begins one when it is time.
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
	sweeper := sweep.New(bucket, catalog)
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
