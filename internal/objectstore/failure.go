package objectstore

import (
	"context"
	"errors"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/parqueue/parqueue/internal/fault"
)

// failure turns an error of the SDK into what the interface promises.
func failure(doing string, err error) error {
	code := ""
	var api smithy.APIError
	if errors.As(err, &api) {
		code = api.ErrorCode()
	}
	switch status := statusOf(err); {
	case code == "NoSuchKey", code == "NotFound":
		return fault.New(fault.CodeFileNotFound, "The file's bytes are not in the store.",
			"They may have been deleted a moment ago. List the dataset again.").Because(err)
	case status == http.StatusInsufficientStorage, code == "InsufficientStorage":
		return fault.New(fault.CodeStorageFull, "There is no room left where files are stored.",
			"Nothing was stored. Free some space there, or ask the operator to, and try again.").Because(err)
	case status == http.StatusPreconditionFailed, code == "ConditionalRequestConflict":
		return fault.New(fault.CodeConflict, "Another request stored something in the same place at the same time.",
			"Nothing was replaced. Try again.").Because(err)
	case status == http.StatusServiceUnavailable, status == http.StatusTooManyRequests, code == "SlowDown":
		return fault.New(fault.CodeUnavailable, "The place where files are stored is overloaded.",
			"Wait some seconds and try again.").Because(err)
	default:
		return fault.Internal(doing, err)
	}
}

// statusOf gives the HTTP status that an error of the SDK came with, or 0.
func statusOf(err error) int {
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) {
		return response.HTTPStatusCode()
	}
	return 0
}

// mayHaveStored reports whether a write that failed with err can have taken
// effect all the same: its answer was lost, or the SDK repeated it and the
// repetition met the object of the first try.
func mayHaveStored(err error) bool {
	switch status := statusOf(err); status {
	case http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed:
		return true
	case http.StatusInsufficientStorage:
		return false
	default:
		return status < 400 || status >= 500
	}
}

// ended returns why a context ended, or nil while it goes on.
func ended(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return context.Cause(ctx)
}

// errorOf is the error that an answer to a request for many objects has of one.
func errorOf(e types.Error) error {
	return &smithy.GenericAPIError{Code: aws.ToString(e.Code), Message: aws.ToString(e.Message)}
}
