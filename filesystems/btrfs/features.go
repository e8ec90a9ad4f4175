package btrfs

import (
	"fmt"
	"math/bits"
)

// incompatRead are the incompatible features that this package reads.
const incompatRead = incompatMixedBackref | incompatDefaultSubvol | incompatMixedGroups | incompatCompressLZO | incompatCompressZSTD |
	incompatBigMetadata | incompatExtendedIref | incompatRAID56 | incompatSkinnyMetadata | incompatNoHoles | incompatMetadataUUID |
	incompatRAID1C34 | incompatSimpleQuota

// The names are those of /sys/fs/btrfs/features.

func incompatNames(set uint64) []string {
	return bitNames(set, "incompat", []string{"mixed_backref", "default_subvol", "mixed_groups", "compress_lzo", "compress_zstd",
		"big_metadata", "extended_iref", "raid56", "skinny_metadata", "no_holes", "metadata_uuid", "raid1c34", "zoned",
		"extent_tree_v2", "raid_stripe_tree", "", "simple_quota", "remap_tree"})
}

func bitNames(set uint64, word string, names []string) []string {
	var out []string
	for ; set != 0; set &= set - 1 {
		n := bits.TrailingZeros64(set)
		if n < len(names) && names[n] != "" {
			out = append(out, names[n])
		} else {
			out = append(out, fmt.Sprintf("%s_%d", word, n))
		}
	}
	return out
}

// featureNames are the features of a filesystem, its checksum first.
func featureNames(sb superblock) []string {
	var names []string
	if sum, err := summerOf(sb.csumType()); err == nil {
		names = append(names, sum.name)
	}
	names = append(names, incompatNames(sb.incompat())...)
	names = append(names, bitNames(sb.compatRO(), "compat_ro", []string{"free_space_tree", "free_space_tree_valid", "verity", "block_group_tree"})...)
	if sb.flags()&superFlagSeeding != 0 {
		names = append(names, "seeding")
	}
	return names
}
