package layout

// DABlock is a block of the B+tree of hashes that directories and attributes
// share (xfs_da_blkinfo), with the longer header where CRC is set.
type DABlock struct {
	B   []byte
	CRC bool
}

func (d DABlock) Forward() uint32 { return be32(d.B, 0) }
func (d DABlock) Magic() uint16   { return be16(d.B, DAMagicOffset) }

// Count is the number of entries, of every kind of block.
func (d DABlock) Count() int {
	if d.CRC {
		return int(be16(d.B, 56))
	}
	return int(be16(d.B, 12))
}

// Level is that of an inner node; leaves are 0.
func (d DABlock) Level() int {
	if d.CRC {
		return int(be16(d.B, 58))
	}
	return int(be16(d.B, 14))
}

// NodeHeader is where the entries of a node or a directory leaf begin.
func (d DABlock) NodeHeader() int {
	if d.CRC {
		return 64
	}
	return 16
}

// Hash and Before are entry i of an inner node: the highest hash below the
// block that Before names.

func (d DABlock) Hash(i int) uint32   { return be32(d.B, d.NodeHeader()+i*DAEntrySize) }
func (d DABlock) Before(i int) uint32 { return be32(d.B, d.NodeHeader()+i*DAEntrySize+4) }

// Leaf is the entries of a directory leaf.
func (d DABlock) Leaf() LeafEntries {
	return LeafEntries(d.B[d.NodeHeader() : d.NodeHeader()+d.Count()*LeafEntrySize])
}

// BestCount is in the tail of the only leaf of a directory, behind as many
// numbers of two bytes.
func (d DABlock) BestCount() uint32 { return be32(d.B, len(d.B)-4) }

// AttrHeader is where the entries of an attribute leaf begin.
func (d DABlock) AttrHeader() int {
	if d.CRC {
		return 80
	}
	return 32
}

// AttrFirstUsed is where the names of an attribute leaf begin; 0 in blocks of
// 64 KiB that hold none.
func (d DABlock) AttrFirstUsed() int {
	if d.CRC {
		return int(be16(d.B, 60))
	}
	return int(be16(d.B, 16))
}

// Attr is entry i of an attribute leaf.
func (d DABlock) Attr(i int) AttrEntry { return AttrEntry(d.B[d.AttrHeader()+i*AttrEntrySize:]) }

const (
	DAMagicOffset = 8
	DAEntrySize   = 8
	// DAMaxDepth bounds the levels of inner nodes.
	DAMaxDepth = 5

	DANodeMagic      = 0xfebe
	DANodeMagicCRC   = 0x3ebe
	DirLeaf1Magic    = 0xd2f1 // the only leaf
	DirLeaf1MagicCRC = 0x3df1
	DirLeafNMagic    = 0xd2ff // one of many
	DirLeafNMagicCRC = 0x3dff
	AttrLeafMagic    = 0xfbee
	AttrLeafMagicCRC = 0x3bee
)

// AttrEntry is an entry of an attribute leaf: 8 bytes.
type AttrEntry []byte

func (a AttrEntry) Hash() uint32   { return be32(a, 0) }
func (a AttrEntry) NameIndex() int { return int(be16(a, 4)) }
func (a AttrEntry) Flags() uint8   { return a[6] }

const (
	AttrEntrySize = 8

	// The flags of attributes.
	AttrLocal      = 0x01
	AttrRoot       = 0x02
	AttrSecure     = 0x04
	AttrParent     = 0x08
	AttrIncomplete = 0x80
)

// AttrName is what an entry's index points at, where its value is local.
type AttrName []byte

func (a AttrName) ValueLen() int { return int(be16(a, 0)) }
func (a AttrName) NameLen() int  { return int(a[2]) }
func (a AttrName) Name() []byte  { return a[AttrNameHeader : AttrNameHeader+a.NameLen()] }
func (a AttrName) Value() []byte {
	at := AttrNameHeader + a.NameLen()
	return a[at : at+a.ValueLen()]
}

// AttrRemote is the same where its value is in blocks of its own.
type AttrRemote []byte

func (a AttrRemote) ValueBlock() uint32 { return be32(a, 0) }
func (a AttrRemote) ValueLen() uint32   { return be32(a, 4) }
func (a AttrRemote) NameLen() int       { return int(a[8]) }
func (a AttrRemote) Name() []byte       { return a[AttrRemoteHeader : AttrRemoteHeader+a.NameLen()] }

const (
	AttrNameHeader   = 3
	AttrRemoteHeader = 9
)

// ShortAttrs are attributes in their inode (xfs_attr_sf_hdr).
type ShortAttrs []byte

func (s ShortAttrs) TotalSize() int { return int(be16(s, 0)) }
func (s ShortAttrs) Count() int     { return int(s[2]) }

// ShortAttr is one of them and what follows it.
type ShortAttr []byte

func (s ShortAttr) NameLen() int  { return int(s[0]) }
func (s ShortAttr) ValueLen() int { return int(s[1]) }
func (s ShortAttr) Flags() uint8  { return s[2] }
func (s ShortAttr) Size() int     { return ShortAttrName + s.NameLen() + s.ValueLen() }
func (s ShortAttr) Name() []byte  { return s[ShortAttrName : ShortAttrName+s.NameLen()] }
func (s ShortAttr) Value() []byte {
	return s[ShortAttrName+s.NameLen() : ShortAttrName+s.NameLen()+s.ValueLen()]
}

const (
	ShortAttrsHeader = 4
	ShortAttrName    = 3
)

// Remote is the header of a block of a remote attribute value or symlink of
// version 5.
type Remote []byte

func (r Remote) Magic() uint32  { return be32(r, 0) }
func (r Remote) Offset() uint32 { return be32(r, 4) } // in the value, in bytes
func (r Remote) Bytes() uint32  { return be32(r, 8) }

const (
	RemoteHeader       = 56
	RemoteAttrMagic    = 0x5841524d // XARM
	RemoteSymlinkMagic = 0x58534c4d // XSLM
)

// ACL is the value of the attribute SGI_ACL_FILE or SGI_ACL_DEFAULT.
type ACL []byte

func (a ACL) Count() uint32 { return be32(a, 0) }
func (a ACL) Entry(i int) (tag, id uint32, perm uint16) {
	at := ACLHeader + i*ACLEntrySize
	return be32(a, at), be32(a, at+4), be16(a, at+8)
}

const (
	ACLHeader    = 4
	ACLEntrySize = 12
)
