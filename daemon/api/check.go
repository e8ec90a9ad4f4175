package api

// The schemas of what a check says: Findings, and one Check after them.
const (
	FindingSchema = "guestctl.finding/1"
	CheckSchema   = "guestctl.check/1"
)

// Finding is one thing that is wrong in an image: `guestctl check --json`.
type Finding struct {
	Schema    string `json:"schema"` // FindingSchema
	Image     string `json:"image"`
	Snapshot  string `json:"snapshot,omitempty"`
	Where     string `json:"where" enum:"image,disk,volume"` // image disk volume: what Offset counts in
	Volume    string `json:"volume,omitempty"`               // "sda1"
	Type      string `json:"type,omitempty"`                 // of the filesystem
	Path      string `json:"path,omitempty"`                 // in the filesystem; U+FFFD stands for what is not UTF-8
	PathRaw   []byte `json:"path_raw,omitempty"`
	Inode     uint64 `json:"inode,omitempty"`
	Structure string `json:"structure"`          // by its specification's name; "" where that is not known
	Offset    *int64 `json:"offset,omitempty"`   // bytes; of the structure
	Checksum  bool   `json:"checksum,omitempty"` // it does not match its checksum
	Detail    string `json:"detail"`
}

// Check is what was looked at in an image, and what was not.
type Check struct {
	Schema     string    `json:"schema"` // CheckSchema
	Image      string    `json:"image"`
	Snapshot   string    `json:"snapshot,omitempty"`
	Format     string    `json:"format"`   // of the image; "" where it could not be opened
	Findings   int64     `json:"findings"` // how many
	Complete   bool      `json:"complete"` // it was not given up after too many findings
	Volumes    []Checked `json:"volumes"`
	Notes      []string  `json:"notes,omitempty"`       // what is no damage
	NotChecked []string  `json:"not_checked,omitempty"` // of the image's own structures
}

// Checked is what was looked at on one volume.
type Checked struct {
	Volume      string   `json:"volume"` // "sda1"
	Type        string   `json:"type"`   // as blkid names it; "" where nothing is recognised
	Checked     bool     `json:"checked"`
	Reason      string   `json:"reason,omitempty"` // why it was not
	Findings    int64    `json:"findings"`
	Files       int64    `json:"files"` // names of what is no directory
	Directories int64    `json:"directories"`
	Extents     int64    `json:"extents"`
	Xattrs      int64    `json:"xattrs"`
	Bytes       int64    `json:"bytes,omitempty"`       // of contents that were read, with --data
	NotChecked  []string `json:"not_checked,omitempty"` // what this check does not look at
}
