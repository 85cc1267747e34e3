// Package environment is what Lambda and the template tell a function about itself,
// in variables of its environment.
//
// The package needs no IAM actions.
package environment

import (
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// The variables that the template sets. The two addresses are empty on AWS; they
// name stores of one's own, as under `sam local`.
const (
	Table           = "TABLE_NAME"
	Bucket          = "BUCKET_NAME"
	Inbox           = "INBOX_NAME"
	InboxTenant     = "INBOX_TENANT"
	Stack           = "STACK_NAME"
	Metrics         = "METRICS"
	CrossOrigin     = "CORS_ORIGIN" // empty where no page of another origin may call
	DynamoDBAddress = "AWS_ENDPOINT_URL_DYNAMODB"
	S3Address       = "AWS_ENDPOINT_URL_S3"

	anyAddress = "AWS_ENDPOINT_URL" // of both services
)

// The variables that Lambda sets, and `sam local` the last.
const (
	region       = "AWS_REGION"
	accessKey    = "AWS_ACCESS_KEY_ID"
	secretKey    = "AWS_SECRET_ACCESS_KEY"
	sessionToken = "AWS_SESSION_TOKEN"
	samLocal     = "AWS_SAM_LOCAL"
)

// Required returns the value of a variable, or an error that says that it is missing.
func Required(variable string) (string, error) {
	value := os.Getenv(variable)
	if value == "" {
		return "", fmt.Errorf("the environment variable %s is not set; Lambda or the template sets it", variable)
	}
	return value, nil
}

// Address is where a service is, other than AWS's, or "".
func Address(variable string) string {
	if own := os.Getenv(variable); own != "" {
		return own
	}
	return os.Getenv(anyAddress)
}

// SAMLocal reports whether the function runs under `sam local`.
func SAMLocal() bool { return os.Getenv(samLocal) == "true" }

// AWSConfig is what Lambda says of the account. The SDK's own LoadDefaultConfig
// would come to the same after looking for files and profiles, and would make a
// function a third larger by the services it can sign in with.
func AWSConfig() (aws.Config, error) {
	var values [3]string
	for i, variable := range []string{region, accessKey, secretKey} {
		value, err := Required(variable)
		if err != nil {
			return aws.Config{}, err
		}
		values[i] = value
	}
	return aws.Config{
		Region:      values[0],
		Credentials: credentials.NewStaticCredentialsProvider(values[1], values[2], os.Getenv(sessionToken)),
	}, nil
}
