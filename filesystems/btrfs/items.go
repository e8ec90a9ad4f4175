package btrfs

// devItem is struct btrfs_dev_item.
type devItem []byte

const devItemSize = 98

func (d devItem) devid() uint64 { return le64(d[0:]) }
func (d devItem) uuid() []byte  { return d[66:82] }
func (d devItem) fsid() []byte  { return d[82:98] }

// chunkItem is struct btrfs_chunk with its stripes.
type chunkItem []byte

const (
	chunkSize  = 48
	stripeSize = 32
	stripeLen  = 64 << 10
)

func (c chunkItem) length() uint64       { return le64(c[0:]) }
func (c chunkItem) stripeLen() uint64    { return le64(c[16:]) }
func (c chunkItem) typ() uint64          { return le64(c[24:]) }
func (c chunkItem) numStripes() int      { return int(le16(c[44:])) }
func (c chunkItem) subStripes() int      { return int(le16(c[46:])) }
func (c chunkItem) devid(i int) uint64   { return le64(c[chunkSize+i*stripeSize:]) }
func (c chunkItem) offset(i int) uint64  { return le64(c[chunkSize+i*stripeSize+8:]) }
func (c chunkItem) devUUID(i int) []byte { return c[chunkSize+i*stripeSize+16:][:uuidSize] }
func (c chunkItem) size() int            { return chunkSize + c.numStripes()*stripeSize }

// Types of chunks: what they hold and their profile.
const (
	groupData     = 1 << 0
	groupSystem   = 1 << 1
	groupMetadata = 1 << 2
	groupRAID0    = 1 << 3
	groupRAID1    = 1 << 4
	groupDUP      = 1 << 5
	groupRAID10   = 1 << 6
	groupRAID5    = 1 << 7
	groupRAID6    = 1 << 8
	groupRAID1C3  = 1 << 9
	groupRAID1C4  = 1 << 10
	groupProfile  = groupRAID0 | groupRAID1 | groupDUP | groupRAID10 | groupRAID5 | groupRAID6 | groupRAID1C3 | groupRAID1C4
)

// rootItem is struct btrfs_root_item. Old ones end before generationV2.
type rootItem []byte

const (
	rootItemOldSize = 239
	rootItemSize    = 439

	rootFlagReadOnly = 1 << 0
)

func (r rootItem) generation() uint64   { return le64(r[160:]) }
func (r rootItem) dirid() uint64        { return le64(r[168:]) }
func (r rootItem) bytenr() uint64       { return le64(r[176:]) }
func (r rootItem) flags() uint64        { return le64(r[208:]) }
func (r rootItem) refs() uint32         { return le32(r[216:]) }
func (r rootItem) level() uint8         { return r[238] }
func (r rootItem) generationV2() uint64 { return le64(r[239:]) }
func (r rootItem) uuid() []byte         { return r[247:263] }
func (r rootItem) parentUUID() []byte   { return r[263:279] }
func (r rootItem) receivedUUID() []byte { return r[279:295] }
func (r rootItem) otime() diskTime      { return diskTime(r[339:351]) }

// extended says whether the fields from uuid on are there and current: a
// kernel that did not know them left an older generationV2.
func (r rootItem) extended() bool {
	return len(r) >= rootItemSize && r.generationV2() == r.generation()
}

// rootRef is struct btrfs_root_ref: the entry that leads to a subvolume.
type rootRef []byte

const rootRefSize = 18

func (r rootRef) dirid() uint64 { return le64(r[0:]) }
func (r rootRef) nameLen() int  { return int(le16(r[16:])) }
func (r rootRef) name() []byte  { return r[rootRefSize : rootRefSize+r.nameLen()] }

// diskTime is struct btrfs_timespec.
type diskTime []byte

func (t diskTime) sec() int64   { return int64(le64(t[0:])) }
func (t diskTime) nsec() uint32 { return le32(t[8:]) }

// inodeItem is struct btrfs_inode_item.
type inodeItem []byte

const inodeItemSize = 160

func (i inodeItem) generation() uint64 { return le64(i[0:]) }
func (i inodeItem) size() uint64       { return le64(i[16:]) }
func (i inodeItem) nbytes() uint64     { return le64(i[24:]) }
func (i inodeItem) nlink() uint32      { return le32(i[40:]) }
func (i inodeItem) uid() uint32        { return le32(i[44:]) }
func (i inodeItem) gid() uint32        { return le32(i[48:]) }
func (i inodeItem) mode() uint32       { return le32(i[52:]) }
func (i inodeItem) rdev() uint64       { return le64(i[56:]) }
func (i inodeItem) flags() uint64      { return le64(i[64:]) }
func (i inodeItem) atime() diskTime    { return diskTime(i[112:124]) }
func (i inodeItem) ctime() diskTime    { return diskTime(i[124:136]) }
func (i inodeItem) mtime() diskTime    { return diskTime(i[136:148]) }
func (i inodeItem) otime() diskTime    { return diskTime(i[148:160]) }

// Flags of inodes.
const (
	inodeNoDataSum = 1 << 0
	inodeImmutable = 1 << 6
	inodeAppend    = 1 << 7
	inodeNoDump    = 1 << 8
	inodeCompress  = 1 << 11
	inodeVerity    = 1 << 32
)

// dirItem is struct btrfs_dir_item: an entry, or an extended attribute. One
// item holds several where their names have one hash.
type dirItem []byte

const dirItemSize = 30

func (d dirItem) location() key { return keyAt(d) }
func (d dirItem) dataLen() int  { return int(le16(d[25:])) }
func (d dirItem) nameLen() int  { return int(le16(d[27:])) }
func (d dirItem) typ() uint8    { return d[29] }
func (d dirItem) size() int     { return dirItemSize + d.nameLen() + d.dataLen() }
func (d dirItem) name() []byte  { return d[dirItemSize : dirItemSize+d.nameLen()] }
func (d dirItem) data() []byte  { return d[dirItemSize+d.nameLen() : d.size()] }

// Types of entries.
const (
	entryRegular = 1 + iota
	entryDir
	entryChar
	entryBlock
	entryFIFO
	entrySocket
	entrySymlink
	entryXattr
)

// inodeRef is struct btrfs_inode_ref: one of the names of an inode.
type inodeRef []byte

const inodeRefSize = 10

func (r inodeRef) index() uint64 { return le64(r[0:]) }
func (r inodeRef) nameLen() int  { return int(le16(r[8:])) }
func (r inodeRef) name() []byte  { return r[inodeRefSize : inodeRefSize+r.nameLen()] }
func (r inodeRef) size() int     { return inodeRefSize + r.nameLen() }

// inodeExtref is struct btrfs_inode_extref: the same, where the names of one
// directory do not fit one inodeRef item.
type inodeExtref []byte

const inodeExtrefSize = 18

func (r inodeExtref) parent() uint64 { return le64(r[0:]) }
func (r inodeExtref) index() uint64  { return le64(r[8:]) }
func (r inodeExtref) nameLen() int   { return int(le16(r[16:])) }
func (r inodeExtref) name() []byte   { return r[inodeExtrefSize : inodeExtrefSize+r.nameLen()] }
func (r inodeExtref) size() int      { return inodeExtrefSize + r.nameLen() }

// extentItem is struct btrfs_file_extent_item.
type extentItem []byte

const (
	extentInlineSize = 21
	extentItemSize   = 53

	extentInline   = 0
	extentRegular  = 1
	extentPrealloc = 2
)

func (e extentItem) ramBytes() uint64     { return le64(e[8:]) }
func (e extentItem) compression() uint8   { return e[16] }
func (e extentItem) encryption() uint8    { return e[17] }
func (e extentItem) encoding() uint16     { return le16(e[18:]) }
func (e extentItem) typ() uint8           { return e[20] }
func (e extentItem) inline() []byte       { return e[extentInlineSize:] }
func (e extentItem) diskBytenr() uint64   { return le64(e[21:]) }
func (e extentItem) diskNumBytes() uint64 { return le64(e[29:]) }
func (e extentItem) offset() uint64       { return le64(e[37:]) }
func (e extentItem) numBytes() uint64     { return le64(e[45:]) }

// blockGroupItem is struct btrfs_block_group_item.
type blockGroupItem []byte

const blockGroupItemSize = 24

func (b blockGroupItem) used() uint64 { return le64(b[0:]) }
