// Package protocolmodel proves the append protocol on a model of it. Its tests
// visit every state that a few uploads to one dataset can reach, with a crash
// possible at every step, and see that no step breaks a promise: about the
// order, the names, the schema, the bytes, and what callers are told. Then they
// take the protocol's guards away one by one, and see that each is needed.
//
// The model is small enough to be read beside the code, and its steps are the
// code's:
//
//	sends its request            upload-to-dataset, or append-files
//	stores the bytes             dataset.Service.Receive, or the Put before the append; Objects.Put
//	reads the head               the first read in Catalog.Append
//	is told: …                   Catalog.Append, decided and answered; its order of checks is decide
//	appends, … answer is lost    the transaction is done, and the connection breaks
//	sends … and hears nothing    the transaction is under way, and may be done later or never
//	sends its transaction again  what the AWS SDK and the catalog do after that
//	gives up                     an error that leaves the outcome open; the bytes are kept
//	discards its bytes           dataset.Service.Discard
//	creates, completes …         the session of a large upload: open, complete, appended or aborted
//	the sweeper claims           Catalog.ClaimFile: a session is aborted, or a tombstone is written under the id of a direct upload's file
//	the sweeper deletes          sweep.Sweeper, after the claim, or after it was cut off behind one
//	the deleter unlists          DeleteFile
//	readable is now …            DynamoDB shows another item of a transaction, in no particular order
//	the reader lists             Catalog.Files
//
// SQLite has one writer at a time and nothing under way that its caller gave up;
// the model has more happen than it allows, and so covers both catalogs. Time
// is left out: nothing here waits for something to be old enough.
//
// docs/protocol.md has the protocol, the promises, and what breaks without
// which guard.
package protocolmodel
