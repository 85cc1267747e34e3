package server

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/parqueue/parqueue/internal/fault"
)

// Files of a data folder.
const (
	inboxKeyFile = "inbox.json" // what stays the same over restarts
	s3EnvFile    = "s3.env"     // the same for shells, written at each start
)

// inboxKey is what users of the inbox have in their settings, and so stays the
// same as long as it can: a key that can put objects into the inbox and nothing
// else, and the address of the object store.
type inboxKey struct {
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
	Address   string `json:"address"` // of the last start
}

// anyAddress takes a free port.
const anyAddress = "127.0.0.1:0"

// loadInboxKey reads the key of a data folder, or makes one.
func loadInboxKey(dataDir string) (inboxKey, error) {
	path := filepath.Join(dataDir, inboxKeyFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return inboxKey{AccessKey: rand.Text(), SecretKey: rand.Text(), Address: anyAddress}, nil
	}
	if err != nil {
		return inboxKey{}, err
	}
	var k inboxKey
	if err := json.Unmarshal(text, &k); err != nil || k.AccessKey == "" || k.SecretKey == "" {
		return inboxKey{}, fault.Newf(fault.CodeInvalidRequest, "Remove it: the next start makes a new key.", "%s does not hold the inbox's key.", path).Because(err)
	}
	if !isFree(k.Address) {
		k.Address = anyAddress
	}
	return k, nil
}

// isFree reports whether a loopback address can be listened on.
func isFree(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil || !loopback(host) {
		return false
	}
	l, err := net.Listen("tcp", address)
	return err == nil && l.Close() == nil
}

// save keeps the key and where the object store is now, and writes both for
// shells.
func (k inboxKey) save(dataDir, endpoint string) error {
	k.Address = strings.TrimPrefix(endpoint, "http://")
	text, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return err
	}
	if err := writePrivate(filepath.Join(dataDir, inboxKeyFile), string(text)+"\n"); err != nil {
		return fmt.Errorf("keeping the inbox's key: %w", err)
	}
	if err := writePrivate(filepath.Join(dataDir, s3EnvFile), k.shellText(endpoint)); err != nil {
		return fmt.Errorf("writing how the inbox is reached: %w", err)
	}
	return nil
}

// shellText sets the variables that the AWS CLI and the SDKs read. A session
// token that is set already would belong to another key.
func (k inboxKey) shellText(endpoint string) string {
	return fmt.Sprintf(`# Written at each start of the server. This key can put objects into the inbox, and nothing else:
#   source s3.env
#   aws s3 cp FILE s3://$PARQUEUE_INBOX/incoming/DATASET_ID/
unset AWS_SESSION_TOKEN
export AWS_ENDPOINT_URL='%s'
export AWS_ACCESS_KEY_ID='%s'
export AWS_SECRET_ACCESS_KEY='%s'
export AWS_REGION='%s'
export AWS_DEFAULT_REGION='%[4]s'
export PARQUEUE_INBOX='%s'
`, endpoint, k.AccessKey, k.SecretKey, region, inboxBucket)
}
