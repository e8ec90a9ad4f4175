package api

// DiffSchema names the shape of Difference.
const DiffSchema = "guestctl.diff/1"

// Difference is a path at which two trees differ: `guestctl diff --json`.
type Difference struct {
	Schema  string   `json:"schema"` // DiffSchema
	Change  string   `json:"change" enum:"added,removed,changed"`
	Path    string   `json:"path"` // below the two places; U+FFFD stands for what is not UTF-8
	PathRaw []byte   `json:"path_raw,omitempty"`
	What    []string `json:"what,omitempty"`   // changed: type size content target device mode owner links flags mtime xattrs
	Xattrs  []string `json:"xattrs,omitempty"` // names of those that differ
	From    *Side    `json:"from,omitempty"`   // not where it was added
	To      *Side    `json:"to,omitempty"`     // not where it was removed
}

// Side is a file on one side of a Difference.
type Side struct {
	Type  string `json:"type"` // as a file's record has it
	Mode  string `json:"mode"` // permission bits in octal
	UID   uint32 `json:"uid"`
	GID   uint32 `json:"gid"`
	Size  int64  `json:"size"`  // bytes
	Mtime string `json:"mtime"` // RFC 3339 with nanoseconds, UTC
}
