package qed

import "encoding/binary"

// The header, QEMU's docs/interop/qed_spec, section "Header". All numbers are
// little-endian.
const (
	magic             = "QED\x00"
	offClusterSize    = 4
	offTableSize      = 8
	offHeaderSize     = 12
	offFeatures       = 16
	offL1             = 40
	offImageSize      = 48
	offBackingOffset  = 56
	offBackingSize    = 60
	headerLen         = 64
	minCluster        = 1 << 12
	maxCluster        = 1 << 26
	maxTable          = 16
	sector            = 512
	entryLen          = 8
	zeroCluster       = 1
	maxBackingSize    = 1023 // QEMU's limit
	featureBacking    = 1 << 0
	featureNeedCheck  = 1 << 1
	featureBackingRaw = 1 << 2
	featuresKnown     = featureBacking | featureNeedCheck | featureBackingRaw
)

func le32(b []byte, off int) uint32 { return binary.LittleEndian.Uint32(b[off:]) }
func le64(b []byte, off int) uint64 { return binary.LittleEndian.Uint64(b[off:]) }
