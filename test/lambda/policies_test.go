package lambda_test

import "testing"

// seldomUsed are the actions that a policy grants for what the steps of
// TestFunctions do not bring about, and why they have to be granted all the same.
var seldomUsed = map[string]map[string]string{
	"upload-to-dataset": {
		"dynamodb:BatchGetItem": lostAppend,
		"s3:GetObject":          "a put whose answer was lost: whether the object is there",
	},
	"complete-upload":      {"dynamodb:BatchGetItem": lostAppend},
	"create-upload":        {"s3:AbortMultipartUpload": dropParts},
	"create-asset":         {"s3:AbortMultipartUpload": dropParts},
	"create-asset-version": {"s3:AbortMultipartUpload": dropParts},
	"get-upload":           {"s3:PutObject": "its URLs may do what the function may that signed them, and put parts"},
	"ingest-object": {
		"s3:ListMultipartUploadParts":   over5GiB,
		"s3:AbortMultipartUpload":       over5GiB,
		"s3:ListBucketMultipartUploads": over5GiB,
	},
	"retry-rejection": {"s3:AbortMultipartUpload": over5GiB},
}

const (
	dropParts  = "gives the parts up that it has begun when the upload cannot be recorded"
	lostAppend = "an append whose answer was lost: whether the files are there"
	over5GiB   = "objects of more than 5 GiB are copied in parts, as test/e2e does"
)

// checkPolicies compares what each function did with what its policy grants. That
// it did no more is the guard's to see; this is that the policy grants no more.
func (s *stores) checkPolicies(t *testing.T) {
	for function := range functions(t) {
		for _, action := range granted(t, function) {
			used, reason := s.calls.hasUsed(function, action), seldomUsed[function][action]
			switch {
			case !used && reason == "":
				t.Errorf("%s may use %s, and never did: take it out of the policy, or say here what it is for", function, action)
			case used && reason != "":
				t.Errorf("%s did use %s: it needs no exception (%s)", function, action, reason)
			}
		}
	}
}
