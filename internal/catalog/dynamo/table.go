package dynamo

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/parqueue/parqueue/internal/dataset"
)

// The table, by partition and sort key:
//
//	T#<tenant>               D#<dataset id>   a dataset of the tenant; ids sort by time. Nothing else is in this partition.
//	D#<tenant>#<dataset id>  #head            counters, version, next position, key of the schema, name, metadata
//	                         #schema          the schema and the file that set it; written once, so that a wide one
//	                                          is not written again by every append
//	                         F#<position>     a file, 19 digits, so that they sort
//	                         N#<name>         the same file again: a download reads this item and the head
//	R#<tenant>#<file id>     #                what became of a file id: an upload while it is one, then the file for good, even when it is
//	                                          deleted; or that its bytes were claimed. An upload that isn't appended expires long
//	                                          after its time is over, everything else never
//	                         #schema          the schema of an upload's file, once it is complete; expires
//	L#<tenant>               <upload id>      an upload of the tenant; expires with it
//	L#<tenant>#<dataset id>  <upload id>      the same upload, as one of its dataset
//	                         V#<version>      of an asset outside datasets: a version of its content, 19 digits
//	A#<tenant>[#<owner>][#…] <asset id>       an asset in a list: of the tenant, of an owner, and of those with a tag
//	                                          or an alias (hashes)
//	A#<tenant>#<owner>#@     <alias>          which asset of an owner has an alias
//	I#<tenant>#<hash>        #                a request under an Idempotency-Key; expires
//	P#<task>                 #                how far a task is that runs now and then, such as the sweeper's
//	K#<hash>                 #                an API key
//	KEYS                     <key id>         which hash and tenant a key id has
//	DELETED                  <time>#<tenant>#<dataset id>  a deleted dataset that is still to be purged
//
// A deleted file's F# keeps its id and the time, its R# all of it, and its N# the
// file, the time and the request that deleted it, until another file has the name.
// R# is also the way from a file's id to the file.
//
// An asset's id is that of the first file that was its content, and its R# holds what is
// said of it, its latest content and a revision, which every change of it has a condition
// on; so does the R# of a dataset's file of which something is said. The lists and the
// alias change in the same transaction. Of an asset that was deleted R# and V# stay; the
// R# of its later contents name it, so that their objects are known for what they are.
//
// A deleted dataset is out of T# and its head is marked, in one transaction: for
// everybody there is no such dataset. Its other items are then removed, and of the
// head what nobody needs; the rest of it stays for ever, so that the id is not used
// again.
//
// A tenant's name and a dataset's id hold no "#", so no two things share a
// partition. Every position below the head's next one has an item for ever: a
// reader takes a missing one for one that is being written.
const (
	pk, sk     = "pk", "sk"
	deletedAt  = "deleted_at" // of the items of deleted files, and of the heads of deleted datasets, alone
	expiresAt  = "expires_at" // of requests and unsettled uploads alone: DynamoDB deletes an item some time after it
	headSK     = "#head"
	schemaSK   = "#schema"
	onlySK     = "#"
	filePrefix = "F#"
	namePrefix = "N#"

	versionPrefix = "V#"
	keysPK        = "KEYS"
	deletedPK     = "DELETED"
)

// TimeToLive is the attribute after which DynamoDB deletes items.
const TimeToLive = expiresAt

func tenantPK(tenant string) string             { return "T#" + tenant }
func datasetSK(datasetID string) string         { return "D#" + datasetID }
func datasetPK(tenant, datasetID string) string { return "D#" + tenant + "#" + datasetID }
func fileSK(position int64) string              { return fmt.Sprintf("%s%019d", filePrefix, position) }
func nameSK(name string) string                 { return namePrefix + name }
func keyPK(hash [32]byte) string                { return "K#" + hex.EncodeToString(hash[:]) }

func recordPK(tenant, fileID string) string { return "R#" + tenant + "#" + fileID }

func versionSK(version int64) string { return fmt.Sprintf("%s%019d", versionPrefix, version) }

func taskPK(task string) string { return "P#" + task }

func uploadPK(tenant, uploadID string) string { return recordPK(tenant, dataset.FileIDOf(uploadID)) }

// uploadsPK is the list of a dataset's uploads, or of all of a tenant's when
// datasetID is "".
func uploadsPK(tenant, datasetID string) string {
	if datasetID == "" {
		return "L#" + tenant
	}
	return "L#" + tenant + "#" + datasetID
}

func requestPK(tenant, key string) string {
	sum := sha256.Sum256([]byte(key))
	return "I#" + tenant + "#" + hex.EncodeToString(sum[:])
}

// Definition is the table as a test or an emulator makes it; template.yaml
// describes the same one for a deployment.
func Definition(table string) *dynamodb.CreateTableInput {
	return &dynamodb.CreateTableInput{
		TableName:   aws.String(table),
		BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String(pk), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String(sk), AttributeType: types.ScalarAttributeTypeS},
		},
		KeySchema: []types.KeySchemaElement{
			{AttributeName: aws.String(pk), KeyType: types.KeyTypeHash},
			{AttributeName: aws.String(sk), KeyType: types.KeyTypeRange},
		},
	}
}
