// Command defaultsdk is the function list-dataset-files as one makes it who has
// nothing in mind but that it works: the SDK finds out its configuration itself, and
// has both clients, whether they are used or not. Built without flags, it is what the
// function's own start is compared with.
package main

import (
	"context"
	"log"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/parqueue/parqueue/internal/api"
	"github.com/parqueue/parqueue/internal/catalog/dynamo"
	"github.com/parqueue/parqueue/internal/deployed"
	"github.com/parqueue/parqueue/internal/objectstore"
)

func main() {
	cfg, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(deployed.Serve(api.ListDatasetFiles(), func(s *deployed.Stores) error {
		catalog := dynamo.New(dynamodb.NewFromConfig(cfg), "t")
		objects := objectstore.New(s3.NewFromConfig(cfg), "bucket")
		s.Catalog, s.Uploads, s.Objects, s.Parts = catalog, catalog, objects, objects
		return nil
	}))
}
