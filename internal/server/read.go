package server

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/parqueue/parqueue/internal/catalog/sqlite"
	"github.com/parqueue/parqueue/internal/embeddeds3"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/objectstore"
)

// Data is what a data folder holds, to be read. A server may be running over it.
type Data struct {
	Catalog *sqlite.Catalog
	Objects *objectstore.Store // refuses to change anything
	s3      *embeddeds3.Server
}

// OpenData opens the data folder of a local server to read what is in it.
// Errors: CodeInvalidRequest when there is none.
func OpenData(ctx context.Context, dataDir string) (*Data, error) {
	dir, err := filepath.Abs(dataDir)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(CatalogFile(dir)); errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoData(dataDir)
	}
	accessKey, secretKey := rand.Text(), rand.Text()
	s3, err := embeddeds3.Start(ctx, embeddeds3.Config{
		Dir: filepath.Join(dir, "objects"), Address: "127.0.0.1:0",
		AccessKey: accessKey, SecretKey: secretKey, Region: region,
		Buckets: []string{bucket}, ReadOnly: true,
	})
	if err != nil {
		return nil, err
	}
	catalog, err := sqlite.Open(ctx, CatalogFile(dir))
	if err != nil {
		return nil, errors.Join(err, s3.Close())
	}
	client := objectstore.NewClient(aws.Config{
		Region: region, Credentials: credentials.NewStaticCredentialsProvider(accessKey, secretKey, ""),
	}, s3.Endpoint())
	return &Data{Catalog: catalog, Objects: objectstore.New(client, bucket), s3: s3}, nil
}

// Close ends the reading.
func (d *Data) Close() error { return errors.Join(d.s3.Close(), d.Catalog.Close()) }

// ErrNoData is the error for a folder that no server has run with.
func ErrNoData(dataDir string) *fault.Error {
	return fault.Newf(fault.CodeInvalidRequest, "Start `parqueue serve` with that folder once, or name another with --data or a deployment's table with --table.",
		"There is no Parqueue data in %s.", dataDir)
}
