package ntfs

// A run is a stretch of clusters with one answer.
type run struct {
	vcn int64 // first cluster in the attribute
	len int64 // clusters, > 0
	lcn int64 // first cluster in the volume; sparse where there is none
}

// sparse is the lcn of a run without clusters.
const sparse = -1

// maxVCN bounds the numbers of clusters, so that no sum overflows.
const maxVCN = 1 << 53

// A runReader decodes mapping pairs, one run at a time. Each starts with a byte
// of two counts: of the bytes of the length, and of the distance from the
// cluster before, which is signed; no bytes of distance make a sparse run.
type runReader struct {
	b   []byte
	vcn int64
	lcn int64
}

// next decodes the next run. ok is false at the end, and where problem says
// what is wrong.
func (r *runReader) next() (out run, ok bool, problem string) {
	if len(r.b) == 0 {
		return run{}, false, "mapping pairs without an end"
	}
	head := r.b[0]
	if head == 0 {
		return run{}, false, ""
	}
	nlen, noff := int(head&0xF), int(head>>4)
	if nlen == 0 || nlen > 8 || noff > 8 || 1+nlen+noff > len(r.b) {
		return run{}, false, "a mapping pair that is none"
	}
	length := signed(r.b[1 : 1+nlen])
	delta := signed(r.b[1+nlen : 1+nlen+noff])
	r.b = r.b[1+nlen+noff:]
	if length <= 0 || length > maxVCN-r.vcn {
		return run{}, false, "a run of a length that cannot be"
	}
	out = run{vcn: r.vcn, len: length, lcn: sparse}
	r.vcn += length
	if noff > 0 {
		if delta < -maxVCN || delta > maxVCN {
			return run{}, false, "a run at a place that cannot be"
		}
		r.lcn += delta
		if r.lcn < 0 || r.lcn > maxVCN {
			return run{}, false, "a run before the volume's start"
		}
		out.lcn = r.lcn
	}
	return out, true, ""
}

// signed is the little-endian two's complement number in b, of up to 8 bytes.
func signed(b []byte) int64 {
	if len(b) == 0 {
		return 0
	}
	v := int64(int8(b[len(b)-1]))
	for i := len(b) - 2; i >= 0; i-- {
		v = v<<8 | int64(b[i])
	}
	return v
}
