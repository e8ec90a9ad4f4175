package layout

// Sizes that no superblock field changes.
const (
	// SectorSize is the unit of disk addresses ("basic block"), in bytes.
	SectorSize = 512
	SectorLog  = 9

	// SuperSize is the length of a Superblock view, the smallest sector.
	SuperSize  = 512
	SuperMagic = "XFSB"

	MinBlockLog  = 9
	MaxBlockLog  = 16
	MinSectorLog = 9
	MaxSectorLog = 15
	MinInodeLog  = 8
	MaxInodeLog  = 11
	MinAGBlocks  = 64
)

// Superblock is the first SuperSize bytes of the first sector of an allocation
// group (xfs_dsb).
type Superblock []byte

func (s Superblock) Magic() string          { return string(s[:4]) }
func (s Superblock) BlockSize() uint32      { return be32(s, 4) }
func (s Superblock) Blocks() uint64         { return be64(s, 8) }
func (s Superblock) RTBlocks() uint64       { return be64(s, 16) }
func (s Superblock) UUID() []byte           { return s[32:48] }
func (s Superblock) LogStart() uint64       { return be64(s, 48) }
func (s Superblock) RootIno() uint64        { return be64(s, 56) }
func (s Superblock) RTBitmapIno() uint64    { return be64(s, 64) }
func (s Superblock) RTSummaryIno() uint64   { return be64(s, 72) }
func (s Superblock) AGBlocks() uint32       { return be32(s, 84) }
func (s Superblock) AGCount() uint32        { return be32(s, 88) }
func (s Superblock) LogBlocks() uint32      { return be32(s, 96) }
func (s Superblock) VersionNum() uint16     { return be16(s, 100) }
func (s Superblock) SectSize() uint16       { return be16(s, 102) }
func (s Superblock) InodeSize() uint16      { return be16(s, 104) }
func (s Superblock) InodesPerBlock() uint16 { return be16(s, 106) }
func (s Superblock) Name() []byte           { return s[108:120] }
func (s Superblock) BlockLog() uint8        { return s[120] }
func (s Superblock) SectLog() uint8         { return s[121] }
func (s Superblock) InodeLog() uint8        { return s[122] }
func (s Superblock) InopbLog() uint8        { return s[123] }
func (s Superblock) AGBlockLog() uint8      { return s[124] }
func (s Superblock) InProgress() uint8      { return s[126] }
func (s Superblock) MaxInodePercent() uint8 { return s[127] }
func (s Superblock) InodeCount() uint64     { return be64(s, 128) }
func (s Superblock) FreeInodes() uint64     { return be64(s, 136) }
func (s Superblock) FreeBlocks() uint64     { return be64(s, 144) }
func (s Superblock) UserQuotaIno() uint64   { return be64(s, 160) }
func (s Superblock) GroupQuotaIno() uint64  { return be64(s, 168) }
func (s Superblock) QuotaFlags() uint16     { return be16(s, 176) }
func (s Superblock) InodeAlign() uint32     { return be32(s, 180) }
func (s Superblock) DirBlockLog() uint8     { return s[192] }
func (s Superblock) LogSectSize() uint16    { return be16(s, 194) }
func (s Superblock) LogSUnit() uint32       { return be32(s, 196) }
func (s Superblock) Features2() uint32      { return be32(s, 200) }
func (s Superblock) BadFeatures2() uint32   { return be32(s, 204) }

// The fields below exist in version 5 only.

func (s Superblock) Compat() uint32          { return be32(s, 208) }
func (s Superblock) ROCompat() uint32        { return be32(s, 212) }
func (s Superblock) Incompat() uint32        { return be32(s, 216) }
func (s Superblock) LogIncompat() uint32     { return be32(s, 220) }
func (s Superblock) ProjectQuotaIno() uint64 { return be64(s, 232) }
func (s Superblock) MetaUUID() []byte        { return s[248:264] }

// Version is the format's version, 1 to 5.
func (s Superblock) Version() int { return int(s.VersionNum() & versionMask) }

const (
	versionMask = 0x000f

	// The bits of sb_versionnum.
	VersionAttr     = 0x0010
	VersionNlink    = 0x0020
	VersionQuota    = 0x0040
	VersionAlign    = 0x0080
	VersionDalign   = 0x0100
	VersionShared   = 0x0200
	VersionLogV2    = 0x0400
	VersionSector   = 0x0800
	VersionExtFlag  = 0x1000
	VersionDirV2    = 0x2000
	VersionASCIICI  = 0x4000
	VersionMoreBits = 0x8000

	// The bits of sb_features2.
	Features2LazyCount = 0x2
	Features2Attr2     = 0x8
	Features2Parent    = 0x10
	Features2ProjID32  = 0x80
	Features2CRC       = 0x100
	Features2FType     = 0x200

	// The bits of sb_features_ro_compat.
	ROFinobt   = 0x1
	RORmapbt   = 0x2
	ROReflink  = 0x4
	ROInobtcnt = 0x8

	// The bits of sb_features_incompat.
	IncompatFType       = 0x1
	IncompatSpinodes    = 0x2
	IncompatMetaUUID    = 0x4
	IncompatBigtime     = 0x8
	IncompatNeedsRepair = 0x10
	IncompatNrext64     = 0x20
	IncompatExchange    = 0x40
	IncompatParent      = 0x80
	IncompatMetadir     = 0x100
	IncompatZoned       = 0x200
	IncompatZoneGaps    = 0x400

	// The bit of sb_features_log_incompat.
	LogIncompatXattrs = 0x1
)
