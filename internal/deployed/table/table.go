// Package table is the part of a deployment that is in its DynamoDB table.
//
// The IAM actions are those of catalog/dynamo.
package table

import (
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/parqueue/parqueue/internal/catalog/dynamo"
	"github.com/parqueue/parqueue/internal/deployed"
	"github.com/parqueue/parqueue/internal/deployed/environment"
)

// Open makes the catalog, which is the store of keys as well.
func Open() (*dynamo.Catalog, error) {
	name, err := environment.Required(environment.Table)
	if err != nil {
		return nil, err
	}
	cfg, err := environment.AWSConfig()
	if err != nil {
		return nil, err
	}
	client := dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) {
		if address := environment.Address(environment.DynamoDBAddress); address != "" {
			o.BaseEndpoint = &address
		}
	})
	return dynamo.New(client, name), nil
}

// Catalog is the part of an endpoint that uses the table.
func Catalog(s *deployed.Stores) error {
	catalog, err := Open()
	if err != nil {
		return err
	}
	s.Catalog, s.Uploads, s.Assets = catalog, catalog, catalog
	return nil
}
