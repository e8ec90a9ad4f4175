package xfs

import (
	"fmt"
	"math/bits"

	"github.com/guestctl/guestctl/filesystems/xfs/layout"
)

// incompatRead are the incompatible features that this package reads.
const incompatRead = layout.IncompatFType | layout.IncompatSpinodes | layout.IncompatMetaUUID | layout.IncompatBigtime |
	layout.IncompatNrext64 | layout.IncompatExchange | layout.IncompatParent

// The names are those of mkfs.xfs and xfs_info where these have one.

func incompatNames(set uint32) []string {
	return bitNames(set, "incompat", []string{"ftype", "sparse", "meta_uuid", "bigtime", "needsrepair", "nrext64", "exchange", "parent",
		"metadir", "zoned", "zone_gaps"})
}

func roCompatNames(set uint32) []string {
	return bitNames(set, "ro_compat", []string{"finobt", "rmapbt", "reflink", "inobtcount"})
}

func bitNames(set uint32, word string, names []string) []string {
	var out []string
	for ; set != 0; set &= set - 1 {
		n := bits.TrailingZeros32(set)
		if n < len(names) {
			out = append(out, names[n])
		} else {
			out = append(out, fmt.Sprintf("%s_%d", word, n))
		}
	}
	return out
}

// featureNames are the features of a filesystem. What version 5 always has is
// in "crc".
func featureNames(sb layout.Superblock) []string {
	var names []string
	version := sb.VersionNum()
	if sb.Version() == 5 {
		names = append(names, "crc")
		names = append(names, incompatNames(sb.Incompat())...)
		names = append(names, roCompatNames(sb.ROCompat())...)
		names = append(names, bitNames(sb.Compat(), "compat", nil)...)
		names = append(names, bitNames(sb.LogIncompat(), "log_incompat", []string{"log_xattrs"})...)
	} else {
		features2 := uint32(0)
		if version&layout.VersionMoreBits != 0 {
			features2 = sb.Features2() | sb.BadFeatures2()
		}
		for _, f := range []struct {
			set  bool
			name string
		}{
			{version&layout.VersionAttr != 0, "attr"},
			{features2&layout.Features2Attr2 != 0, "attr2"},
			{features2&layout.Features2LazyCount != 0, "lazy-count"},
			{features2&layout.Features2ProjID32 != 0, "projid32bit"},
			{features2&layout.Features2FType != 0, "ftype"},
			{version&layout.VersionLogV2 != 0, "logv2"},
		} {
			if f.set {
				names = append(names, f.name)
			}
		}
	}
	if version&layout.VersionASCIICI != 0 {
		names = append(names, "ascii-ci")
	}
	if version&layout.VersionQuota != 0 {
		names = append(names, "quota")
	}
	if sb.RTBlocks() != 0 {
		names = append(names, "realtime")
	}
	if sb.LogStart() == 0 {
		names = append(names, "external-log")
	}
	return names
}
