package api

// JSONLines is the media type of a stream of records, one a line.
const JSONLines = "application/x-ndjson"

// The schemas of the records of files; File's record is that of package
// daemon/files.
const (
	FileSchema     = "guestctl.file/1"
	ChecksumSchema = "guestctl.checksum/1"
	MatchSchema    = "guestctl.match/1"
)

// File is a file of a guest.
type File struct {
	Schema  string `json:"schema"`             // FileSchema
	Path    string `json:"path"`               // in the guest; U+FFFD stands for what is not UTF-8
	PathRaw []byte `json:"path_raw,omitempty"` // base64 of the bytes, where they are not UTF-8
	Type    string `json:"type"`               // file directory symlink chardev blockdev fifo socket unknown
	Mode    string `json:"mode"`               // permission bits in octal: "0644", "4755"
	Nlink   uint32 `json:"nlink"`
	UID     uint32 `json:"uid"`
	GID     uint32 `json:"gid"`
	Size    int64  `json:"size"`   // bytes
	Blocks  int64  `json:"blocks"` // of 512 bytes, allocated
	Inode   uint64 `json:"inode"`  // unique in the guest, as a mount shows it
	Volume  string `json:"volume"` // "sda2"
	Mtime   string `json:"mtime"`  // RFC 3339 with nanoseconds, UTC
	Ctime   string `json:"ctime"`
	Atime   string `json:"atime"`
	Btime   string `json:"btime,omitempty"` // where it is recorded

	Target    string `json:"target,omitempty"` // of a symlink
	TargetRaw []byte `json:"target_raw,omitempty"`
	Device    string `json:"device,omitempty"` // "major:minor" of a device

	Flags   []string          `json:"flags,omitempty"`   // immutable append nodump compressed encrypted verity
	Project uint32            `json:"project,omitempty"` // project id, where not 0
	Xattrs  map[string][]byte `json:"xattrs,omitempty"`  // values in base64; by stat only
	Error   string            `json:"error,omitempty"`   // what of it could not be read
}

// Checksum is the checksum of one file.
type Checksum struct {
	Schema    string `json:"schema"` // ChecksumSchema
	Path      string `json:"path"`
	PathRaw   []byte `json:"path_raw,omitempty"`
	Algorithm string `json:"algorithm"`
	Hex       string `json:"hex"`
	Size      int64  `json:"size"`
}

// Match is a line found, or with count or names a file.
type Match struct {
	Schema  string `json:"schema"` // MatchSchema
	Path    string `json:"path"`
	PathRaw []byte `json:"path_raw,omitempty"`
	Line    int64  `json:"line,omitempty"`   // from 1
	Offset  *int64 `json:"offset,omitempty"` // of the line's first byte in the file
	Text    string `json:"text,omitempty"`
	TextRaw []byte `json:"text_raw,omitempty"`
	Count   *int64 `json:"count,omitempty"`
	Binary  bool   `json:"binary,omitempty"` // it matches and is binary: lines are not shown
}

// Place is a path in a guest. In a query any bytes but zero may be written,
// percent-encoded.
type Place struct {
	Path string `query:"path" maxLength:"65536" default:"/" doc:"path in the guest; symlinks are resolved inside it"`
}

// StatQuery asks for one file.
type StatQuery struct {
	Place
	Follow bool `query:"follow" doc:"follow a symlink at the end of path"`
}

// ListQuery asks for what is in a directory.
type ListQuery struct {
	Place
	All       bool `query:"all" doc:"names that begin with a dot, too"`
	Recursive bool `query:"recursive" doc:"what is in each directory below, too"`
	Itself    bool `query:"itself" doc:"a directory itself, not what is in it"`
	Sorted    bool `query:"sorted" doc:"by name, for which a directory's entries are held in memory; else as the filesystem has them"`
}

// FindQuery asks for the files at and below a path that meet all conditions.
type FindQuery struct {
	Place
	Name     []string `query:"name,explode" maxItems:"64" doc:"its name is of one of these patterns, as find(1) has them"`
	IName    []string `query:"iname,explode" maxItems:"64" doc:"the same without regard to case"`
	PathIs   []string `query:"path_is,explode" maxItems:"64" doc:"its whole path is of one of these patterns"`
	Type     string   `query:"type" maxLength:"32" doc:"letters of f d l c b p s, with commas between them"`
	Size     []string `query:"size,explode" maxItems:"8" doc:"[+-]N bytes, or with k, M, G"`
	Mtime    []string `query:"mtime,explode" maxItems:"8" doc:"modified [+-]N days ago, or with m, h, w"`
	MinDepth int      `query:"mindepth" minimum:"0" doc:"at least so many levels below path"`
	MaxDepth int      `query:"maxdepth" minimum:"-1" default:"-1" doc:"at most so many; -1 is all"`
}

// GrepQuery searches the contents of files.
type GrepQuery struct {
	Place
	Pattern    []string `query:"pattern,explode" required:"true" minItems:"1" maxItems:"64" doc:"a regular expression of RE2; several: one of them"`
	Recursive  bool     `query:"recursive" doc:"the regular files below a directory"`
	Include    []string `query:"include,explode" maxItems:"64" doc:"with recursive, only files whose names are of one of these patterns"`
	Fixed      bool     `query:"fixed" doc:"the patterns are strings"`
	IgnoreCase bool     `query:"ignore_case"`
	Invert     bool     `query:"invert" doc:"lines that do not match"`
	Word       bool     `query:"word" doc:"only whole words"`
	Line       bool     `query:"line" doc:"only whole lines"`
	Text       bool     `query:"text" doc:"search binary files as text"`
	SkipBinary bool     `query:"skip_binary" doc:"binary files never match"`
	Count      bool     `query:"count" doc:"how many lines match, for each file"`
	Names      bool     `query:"names" doc:"the files that match alone"`
	Others     bool     `query:"others" doc:"the files that do not match alone"`
	Max        int      `query:"max" minimum:"0" doc:"stop a file after so many lines; 0 is never"`
}

// ChecksumQuery asks for checksums.
type ChecksumQuery struct {
	Place
	Algorithm string `query:"algorithm" enum:"sha256,md5,sha1,sha224,sha384,sha512" default:"sha256"`
	Recursive bool   `query:"recursive" doc:"the regular files below a directory"`
}

// ArchiveQuery asks for a tree as a tar archive.
type ArchiveQuery struct {
	Place
	NoXattrs bool `query:"no_xattrs" doc:"leave extended attributes out"`
	NoSparse bool `query:"no_sparse" doc:"write holes as zeros"`
	Copy     bool `query:"copy" doc:"for guestctl cp: a symlink at the end of path itself, sockets and times of access too, and all holes; in pax keywords of its own, GUESTCTL.filetype and GUESTCTL.size"`
}

// DiffQuery compares two places, in one image or in two.
type DiffQuery struct {
	Place
	With     string `query:"with" required:"true" minLength:"1" maxLength:"64" doc:"id of the attached image to compare with"`
	WithPath string `query:"with_path" maxLength:"65536" default:"/" doc:"path in that"`
	NoTimes  bool   `query:"no_times" doc:"times do not count"`
	DirTimes bool   `query:"dir_times" doc:"times of directories count, too"`
}

// PackageQuery asks for what is installed.
type PackageQuery struct {
	Languages bool `query:"languages" doc:"also packages of Python, Node.js, Ruby, Go and Rust"`
}

// CheckQuery looks for damage.
type CheckQuery struct {
	Volume string `query:"volume" maxLength:"256" doc:"this one alone: sda1"`
	Data   bool   `query:"data" doc:"read the contents of all files, too"`
}

// Trailers of an archive: what of it could not be read. Each Notice is a line
// of JSON in NoticesTrailer, as many as fit; ProblemsTrailer counts all that
// are problems.
const (
	NoticesTrailer  = "Guestctl-Notices"
	ProblemsTrailer = "Guestctl-Problems"
)
