package ext4

import (
	"fmt"
	mathbits "math/bits"
)

// The feature bits of s_feature_compat, s_feature_incompat and
// s_feature_ro_compat.
const (
	compatDirPrealloc  = 0x1
	compatImagicInodes = 0x2
	compatHasJournal   = 0x4
	compatExtAttr      = 0x8
	compatResizeInode  = 0x10
	compatDirIndex     = 0x20
	compatSparseSuper2 = 0x200
	compatFastCommit   = 0x400
	compatStableInodes = 0x800
	compatOrphanFile   = 0x1000

	incompatCompression = 0x1
	incompatFiletype    = 0x2
	incompatRecover     = 0x4
	incompatJournalDev  = 0x8
	incompatMetaBg      = 0x10
	incompatExtents     = 0x40
	incompat64bit       = 0x80
	incompatMMP         = 0x100
	incompatFlexBg      = 0x200
	incompatEAInode     = 0x400
	incompatDirdata     = 0x1000
	incompatCsumSeed    = 0x2000
	incompatLargedir    = 0x4000
	incompatInlineData  = 0x8000
	incompatEncrypt     = 0x10000
	incompatCasefold    = 0x20000

	roSparseSuper   = 0x1
	roLargeFile     = 0x2
	roBtreeDir      = 0x4
	roHugeFile      = 0x8
	roGdtCsum       = 0x10
	roDirNlink      = 0x20
	roExtraIsize    = 0x40
	roQuota         = 0x100
	roBigalloc      = 0x200
	roMetadataCsum  = 0x400
	roReplica       = 0x800
	roReadonly      = 0x1000
	roProject       = 0x2000
	roSharedBlocks  = 0x4000
	roVerity        = 0x8000
	roOrphanPresent = 0x10000

	// incompatRead are the incompatible features that this package reads.
	incompatRead = incompatFiletype | incompatRecover | incompatMetaBg | incompatExtents | incompat64bit |
		incompatMMP | incompatFlexBg | incompatEAInode | incompatCsumSeed | incompatLargedir |
		incompatInlineData | incompatEncrypt | incompatCasefold
)

// featureName is the name that e2fsprogs prints for bit number n of the set:
// 'C' compatible, 'I' incompatible, 'R' compatible for reading.
func featureName(set byte, n int) string {
	var names [18]string
	switch set {
	case 'C':
		names = [...]string{"dir_prealloc", "imagic_inodes", "has_journal", "ext_attr", "resize_inode", "dir_index",
			"lazy_bg", "exclude_inode", "snapshot_bitmap", "sparse_super2", "fast_commit", "stable_inodes",
			"orphan_file", "", "", "", "", ""}
	case 'I':
		names = [...]string{"compression", "filetype", "needs_recovery", "journal_dev", "meta_bg", "", "extent",
			"64bit", "mmp", "flex_bg", "ea_inode", "", "dirdata", "metadata_csum_seed", "large_dir", "inline_data",
			"encrypt", "casefold"}
	case 'R':
		names = [...]string{"sparse_super", "large_file", "btree_dir", "huge_file", "uninit_bg", "dir_nlink",
			"extra_isize", "snapshot", "quota", "bigalloc", "metadata_csum", "replica", "read-only", "project",
			"shared_blocks", "verity", "orphan_present", ""}
	}
	if n < len(names) && names[n] != "" {
		return names[n]
	}
	return fmt.Sprintf("FEATURE_%c%d", set, n)
}

// featureNames are the names of all bits of a set.
func featureNames(set byte, bits uint32) []string {
	var names []string
	for ; bits != 0; bits &= bits - 1 {
		names = append(names, featureName(set, mathbits.TrailingZeros32(bits)))
	}
	return names
}

func (s superblock) hasCompat(bit uint32) bool   { return s.featureCompat()&bit != 0 }
func (s superblock) hasIncompat(bit uint32) bool { return s.featureIncompat()&bit != 0 }
func (s superblock) hasRoCompat(bit uint32) bool { return s.featureRoCompat()&bit != 0 }
