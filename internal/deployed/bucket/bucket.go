// Package bucket is the part of a deployment that is in its buckets: the one of the
// files, and the inbox.
//
// The IAM actions are those of objectstore.
package bucket

import (
	"github.com/parqueue/parqueue/internal/deployed"
	"github.com/parqueue/parqueue/internal/deployed/environment"
	"github.com/parqueue/parqueue/internal/objectstore"
)

// Open makes the object store of the files.
func Open() (*objectstore.Store, error) { return open(environment.Bucket) }

// open makes an object store of the bucket that a variable names.
func open(variable string) (*objectstore.Store, error) {
	name, err := environment.Required(variable)
	if err != nil {
		return nil, err
	}
	cfg, err := environment.AWSConfig()
	if err != nil {
		return nil, err
	}
	return objectstore.New(objectstore.NewClient(cfg, environment.Address(environment.S3Address)), name), nil
}

// Objects is the part of an endpoint that uses the files.
func Objects(s *deployed.Stores) error {
	objects, err := Open()
	if err != nil {
		return err
	}
	s.Objects, s.Parts = objects, objects
	return nil
}
