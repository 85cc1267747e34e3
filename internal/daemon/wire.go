package daemon

import (
	"encoding/json"
	"time"

	"github.com/parqueue/parqueue/internal/transfer"
)

// Protocol is the number of the API's version: a client sends it with every
// request, and a daemon refuses another one than its own.
const Protocol = 1

// protocolHeader carries it.
const protocolHeader = "Parqueue-Protocol"

// Kinds of transfers.
const (
	KindUploadDataset   = "upload_dataset"
	KindDownloadDataset = "download_dataset"
	KindUploadAsset     = "upload_asset"
	KindDownloadAsset   = "download_asset"
)

// States of a transfer.
const (
	StateRunning   = "running"
	StatePaused    = "paused"
	StateWaiting   = "waiting" // for a key, or for the network
	StateDone      = "done"
	StateFailed    = "failed"
	StateCancelled = "cancelled"
)

// Ended reports a state that a transfer stays in, unless it is asked for again.
func Ended(state string) bool {
	return state == StateDone || state == StateFailed || state == StateCancelled
}

// Server says which server a request is for: a profile of `parqueue auth`, or a
// URL and a key, which the daemon keeps in memory only. The zero value is the
// default profile.
type Server struct {
	Profile   string `json:"profile,omitempty"`
	URL       string `json:"url,omitempty"`
	APIKey    string `json:"api_key,omitempty"`
	AllowHTTP bool   `json:"allow_http,omitempty"` // send the key over plain HTTP to another machine
}

// Limits are bounds of all transfers together, or of one; 0 is no bound.
type Limits struct {
	Connections    int   `json:"connections"`
	BytesPerSecond int64 `json:"bytes_per_second"`
}

// NewTransfer is a transfer that is asked for. Which fields there are depends on
// its kind.
type NewTransfer struct {
	Kind   string  `json:"kind"`
	Server *Server `json:"server,omitempty"`
	Limits *Limits `json:"limits,omitempty"` // of this transfer

	DatasetID string   `json:"dataset_id,omitempty"`
	Paths     []string `json:"paths,omitempty"` // absolute
	Order     string   `json:"order,omitempty"` // name, mtime, given, or the absolute path of a list
	AnyOrder  bool     `json:"any_order,omitempty"`
	Files     []string `json:"files,omitempty"` // names; none means all
	To        string   `json:"to,omitempty"`    // an absolute folder
	Overwrite bool     `json:"overwrite,omitempty"`

	AssetID   string `json:"asset_id,omitempty"` // of a download, or of an upload of new content
	Version   int64  `json:"version,omitempty"`  // 0 is the latest
	Path      string `json:"path,omitempty"`     // an absolute file
	OwnerType string `json:"owner_type,omitempty"`
	OwnerID   string `json:"owner_id,omitempty"`
	PartSize  int64  `json:"part_size,omitempty"`
	transfer.AssetInfo
}

// Transfer is a transfer as the daemon shows it.
type Transfer struct {
	ID        string    `json:"transfer_id"`
	Kind      string    `json:"kind"`
	State     string    `json:"state"`
	CreatedAt time.Time `json:"created_at"`
	Server    string    `json:"server"`
	DatasetID string    `json:"dataset_id,omitempty"`
	AssetID   string    `json:"asset_id,omitempty"`
	Folder    string    `json:"folder,omitempty"` // that a download fills

	Files          int             `json:"files"`
	FilesDone      int             `json:"files_done"`
	Bytes          int64           `json:"bytes"`
	BytesDone      int64           `json:"bytes_done"`
	BytesMoved     int64           `json:"bytes_moved"`
	BytesPerSecond int64           `json:"bytes_per_second"`
	SecondsLeft    float64         `json:"seconds_left"`
	Error          json.RawMessage `json:"error,omitempty"`  // as the API has them
	Result         json.RawMessage `json:"result,omitempty"` // as the command line's --json has it
}

// Event is a line of a transfer's events.
type Event struct {
	transfer.Event
	Error  json.RawMessage `json:"error,omitempty"`  // of an end, and of waiting
	Result json.RawMessage `json:"result,omitempty"` // of an end
}

// Status is what a daemon says of itself.
type Status struct {
	Version     string    `json:"version"`
	Protocol    int       `json:"protocol"`
	PID         int       `json:"pid"`
	StartedAt   time.Time `json:"started_at"`
	Running     int       `json:"transfers_running"`
	Limits      Limits    `json:"limits"`
	Outdated    bool      `json:"outdated"`     // its program on disk is another one by now
	ProfilesDir string    `json:"profiles_dir"` // where it looks for profiles
	StateDir    string    `json:"state_dir"`
}

// Address is how a client reaches a daemon: a socket, or where there are none a
// URL and the token that goes with it as `Authorization: Bearer`.
type Address struct {
	Socket   string `json:"socket,omitempty"`
	URL      string `json:"url,omitempty"`
	Token    string `json:"token,omitempty"`
	PID      int    `json:"pid"`
	Version  string `json:"version"`
	Protocol int    `json:"protocol"`
}
