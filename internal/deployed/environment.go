package deployed

import (
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/parqueue/parqueue/internal/catalog/dynamo"
	"github.com/parqueue/parqueue/internal/objectstore"
)

// The environment variables that are read: the template sets the first two, and
// Lambda the next four. The next three are empty on AWS; they name stores of one's
// own, as under `sam local`, which sets the last.
const (
	tableVariable        = "TABLE_NAME"
	bucketVariable       = "BUCKET_NAME"
	regionVariable       = "AWS_REGION"
	accessKeyVariable    = "AWS_ACCESS_KEY_ID"
	secretKeyVariable    = "AWS_SECRET_ACCESS_KEY"
	sessionTokenVariable = "AWS_SESSION_TOKEN"
	endpointVariable     = "AWS_ENDPOINT_URL"
	dynamoDBVariable     = "AWS_ENDPOINT_URL_DYNAMODB"
	s3Variable           = "AWS_ENDPOINT_URL_S3"
	samLocalVariable     = "AWS_SAM_LOCAL"
)

// openTable makes the catalog, which is the store of keys as well.
func openTable() (*dynamo.Catalog, error) {
	table, err := required(tableVariable)
	if err != nil {
		return nil, err
	}
	cfg, err := awsConfig()
	if err != nil {
		return nil, err
	}
	client := dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) {
		if endpoint := endpoint(dynamoDBVariable); endpoint != "" {
			o.BaseEndpoint = &endpoint
		}
	})
	return dynamo.New(client, table), nil
}

// openBucket makes the object store.
func openBucket() (*objectstore.Store, error) {
	bucket, err := required(bucketVariable)
	if err != nil {
		return nil, err
	}
	cfg, err := awsConfig()
	if err != nil {
		return nil, err
	}
	return objectstore.New(objectstore.NewClient(cfg, endpoint(s3Variable)), bucket), nil
}

// awsConfig is what Lambda says of the account. The SDK's own LoadDefaultConfig
// would come to the same after looking for files and profiles, and would make a
// function a third larger by the services it can sign in with.
func awsConfig() (aws.Config, error) {
	region, err := required(regionVariable)
	if err != nil {
		return aws.Config{}, err
	}
	accessKey, err := required(accessKeyVariable)
	if err != nil {
		return aws.Config{}, err
	}
	secretKey, err := required(secretKeyVariable)
	if err != nil {
		return aws.Config{}, err
	}
	return aws.Config{
		Region:      region,
		Credentials: credentials.NewStaticCredentialsProvider(accessKey, secretKey, os.Getenv(sessionTokenVariable)),
	}, nil
}

// endpoint is the address of a service other than AWS's, or "".
func endpoint(variable string) string {
	if own := os.Getenv(variable); own != "" {
		return own
	}
	return os.Getenv(endpointVariable)
}

func required(variable string) (string, error) {
	value := os.Getenv(variable)
	if value == "" {
		return "", fmt.Errorf("the environment variable %s is not set; Lambda or the template sets it", variable)
	}
	return value, nil
}
