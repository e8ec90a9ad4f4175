package api

import "time"

// MountSchema names the shape of Mount.
const MountSchema = "guestctl.mount/1"

// MountRequest asks for a mount of an attached image, or of one that is
// attached for as long as the mount lives.
type MountRequest struct {
	Image   string   `json:"image,omitempty" maxLength:"64" doc:"id of an attached image"`
	Attach  *Attach  `json:"attach,omitempty" doc:"in its place: what to attach for the life of the mount"`
	Dir     string   `json:"dir" minLength:"1" maxLength:"4096" doc:"absolute path of an empty folder of the host"`
	Options []string `json:"options,omitempty" maxItems:"64" doc:"as guestmount's -o"`
}

// Mount is a guest shown in a folder.
type Mount struct {
	Schema  string      `json:"schema"` // MountSchema
	ID      string      `json:"id"`
	Image   string      `json:"image"`
	Dir     string      `json:"dir"`
	Options []string    `json:"options"`
	Owner   int         `json:"owner"` // uid
	Mounted time.Time   `json:"mounted"`
	Stats   *MountStats `json:"stats,omitempty"` // where the worker answers
}

// MountStats count what a mount was asked for.
type MountStats struct {
	Lookups     int64 `json:"lookups"`
	Lists       int64 `json:"lists"`
	Reads       int64 `json:"reads"`
	Stores      int64 `json:"stores"`       // files sent to the kernel before it asked
	StoredBytes int64 `json:"stored_bytes"` // of them
}

// Mounts is a page of a list.
type Mounts struct {
	Mounts []Mount `json:"mounts"`
	Next   string  `json:"next,omitempty"`
}
