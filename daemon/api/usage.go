package api

// UsageSchema names the shape of Usage.
const UsageSchema = "guestctl.df/1"

// Usage says how full a filesystem of an image is: `guestctl df --json`.
type Usage struct {
	Schema     string `json:"schema"` // UsageSchema
	Image      string `json:"image"`
	Snapshot   string `json:"snapshot,omitempty"`
	Filesystem string `json:"filesystem"` // "sda1"
	Type       string `json:"type"`       // as blkid names it; "" where nothing is recognised
	Label      string `json:"label,omitempty"`
	UUID       string `json:"uuid,omitempty"`
	Readable   bool   `json:"readable"`        // the numbers below are known
	BlockSize  int    `json:"block_size"`      // bytes, the unit of allocation
	Size       int64  `json:"size"`            // bytes, as statfs has it
	Used       int64  `json:"used"`            // bytes
	Available  int64  `json:"available"`       // bytes, to an ordinary user
	Inodes     int64  `json:"inodes"`          // 0 where the filesystem has no fixed number
	InodesUsed int64  `json:"inodes_used"`     //
	InodesFree int64  `json:"inodes_free"`     //
	Error      string `json:"error,omitempty"` // why it is not readable
}
