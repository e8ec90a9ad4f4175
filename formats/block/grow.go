package block

import "context"

// A Grower is a Writer that can be made longer: the host file of an image whose
// format allocates at the file's end. WriteAt alone never does so.
type Grower interface {
	Writer

	// Grow makes the device size bytes long where it is shorter; the new bytes
	// are zeros. It never makes it shorter. Like what WriteAt writes, the new
	// length is durable after Sync.
	Grow(ctx context.Context, size int64) error
}
