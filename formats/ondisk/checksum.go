package ondisk

import "hash/crc32"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// CRC32C continues the CRC-32C of the kernel's crc32c_le: the register crc is
// taken and given as it is, with neither the initial nor the final inversion
// that hash/crc32 makes. ext4 and jbd2 start with ^0 and store the register.
func CRC32C(crc uint32, p []byte) uint32 {
	return ^crc32.Update(^crc, castagnoli, p)
}

// CRC16 continues the CRC-16 (polynomial 0x8005, reflected: 0xA001) of the
// kernel's crc16, which ext4's gdt_csum feature starts with ^0.
func CRC16(crc uint16, p []byte) uint16 {
	for _, b := range p {
		crc ^= uint16(b)
		for range 8 {
			if crc&1 != 0 {
				crc = crc>>1 ^ 0xA001
			} else {
				crc >>= 1
			}
		}
	}
	return crc
}
