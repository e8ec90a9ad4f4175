package block

// readOnly hides that a Device is a Writer.
type readOnly struct{ Device }

// ReadOnly is dev for those who may not write it: never a Writer.
func ReadOnly(dev Device) Device {
	if _, ok := dev.(Writer); !ok {
		return dev
	}
	return readOnly{dev}
}

func (r readOnly) Prefetch(off, n int64) { Prefetch(r.Device, off, n) }
