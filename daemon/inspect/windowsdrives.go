package inspect

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/guestctl/guestctl/daemon/api"
)

// The values of MountedDevices: of a partition of an MBR the disk's signature
// and the partition's place, of one of a GPT its GUID.
const (
	mbrMappingLen   = 12
	offMappingOff   = 4
	gptMappingMagic = "DMIO:ID:"
	gptMappingLen   = len(gptMappingMagic) + 16
)

// driveMappings are the drive letters of volumes that are here.
func (r *report) driveMappings() []api.DriveMapping {
	k := openKey(r.reg, `HKLM\SYSTEM\MountedDevices`)
	if k.Key == nil {
		return nil
	}
	var list []api.DriveMapping
	for v, err := range k.Values() {
		if err != nil {
			continue
		}
		letter, ok := strings.CutPrefix(strings.ToUpper(v.Name), `\DOSDEVICES\`)
		if !ok || len(letter) != 2 || letter[1] != ':' || letter[0] < 'A' || letter[0] > 'Z' {
			continue
		}
		if device := mapped(v.Data, r.sources); device != "" {
			list = append(list, api.DriveMapping{Letter: letter[:1], Device: device})
		}
	}
	slices.SortFunc(list, func(a, b api.DriveMapping) int { return strings.Compare(a.Letter, b.Letter) })
	return list
}

// mapped is the volume that a value of MountedDevices is about, "" where it is not here.
func mapped(data []byte, sources []Source) string {
	var partUUID string
	off := int64(-1)
	switch {
	case len(data) == mbrMappingLen:
		partUUID = fmt.Sprintf("%08x-", binary.LittleEndian.Uint32(data))
		off = int64(binary.LittleEndian.Uint64(data[offMappingOff:]))
	case len(data) == gptMappingLen && strings.HasPrefix(string(data), gptMappingMagic):
		partUUID = guid(data[len(gptMappingMagic):])
	default:
		return ""
	}
	for _, s := range sources {
		have := strings.ToLower(s.PartUUID)
		if off < 0 && have == partUUID || off >= 0 && s.Off == off && strings.HasPrefix(have, partUUID) {
			return s.Name
		}
	}
	return ""
}

// guid is a GUID as it is stored by Windows: three numbers, eight bytes.
func guid(b []byte) string {
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint16(b[4:]), binary.LittleEndian.Uint16(b[6:]), b[8:10], b[10:16])
}
