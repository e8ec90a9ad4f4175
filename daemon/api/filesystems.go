package api

// FilesystemsSchema names the shape of Filesystems.
const FilesystemsSchema = "guestctl.filesystems/1"

// Filesystems is what is on the disks of a guest: .guest/filesystems.json and
// `guestctl filesystems --json`.
type Filesystems struct {
	Schema      string       `json:"schema"` // FilesystemsSchema
	Disks       []Disk       `json:"disks"`
	Filesystems []Filesystem `json:"filesystems"`
	Warnings    []string     `json:"warnings"` // what could not be read, one line each
}

// Disk is one disk.
type Disk struct {
	Name    string `json:"name"` // "sda"
	Image   string `json:"image"`
	Format  string `json:"format"` // "raw", "qcow2"
	Size    int64  `json:"size"`
	Backing string `json:"backing,omitempty"` // as the image names it
}

// Filesystem is one volume and what it carries.
type Filesystem struct {
	Name      string     `json:"name"` // "sda1"
	Disk      string     `json:"disk"`
	Offset    int64      `json:"offset"` // from the start of the disk
	Size      int64      `json:"size"`   // of the volume
	Type      string     `json:"type"`   // as blkid names it; "" where nothing is recognised
	UUID      string     `json:"uuid,omitempty"`
	Label     string     `json:"label,omitempty"`
	Partition *Partition `json:"partition,omitempty"` // not for a disk without a table
	Scheme    string     `json:"scheme,omitempty"`    // "lvm2", "luks", "md" for a volume that is no partition
	On        []string   `json:"on,omitempty"`        // the volumes that it lies on
	Readable  bool       `json:"readable"`            // its files can be shown
	Mounted   []string   `json:"mounted,omitempty"`   // where it is shown in the tree
	Error     string     `json:"error,omitempty"`     // why it is not readable
}

// Partition is what the partition table says about a volume.
type Partition struct {
	Table string `json:"table"`           // "gpt", "mbr"
	Type  string `json:"type"`            // GPT type GUID in upper case, MBR type as "0x83"
	UUID  string `json:"uuid,omitempty"`  // PARTUUID
	Label string `json:"label,omitempty"` // PARTLABEL
}
