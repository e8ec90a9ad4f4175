package check

// ofImage is what a check leaves out of an image's own structures.
func ofImage(format string) []string {
	switch format {
	case "raw":
		return nil
	case "qcow2":
		return []string{"reference counts, leaked clusters and clusters that two entries claim (qemu-img check)", "bitmaps of changes"}
	}
	return []string{"what is not needed to read the disk"}
}

// ofFilesystem is what a check leaves out of a filesystem.
func ofFilesystem(kind string) []string {
	list := []string{"what no name leads to"}
	switch kind {
	case "ext2", "ext3", "ext4":
		return append(list, "block and inode bitmaps and the counts in group descriptors (e2fsck)", "link counts of directories",
			"blocks that directories, extended attributes or the filesystem itself share with a file", "backups of the superblock and of descriptors", "quota files")
	case "xfs":
		return append(list, "the B-trees of free space, inodes, reverse mappings and reference counts beyond what a lookup reads (xfs_repair -n)",
			"link counts of directories", "blocks that two files claim", "secondary superblocks", "quota files")
	case "vfat", "exfat":
		return append(list, "lost clusters, and clusters that a directory shares with a file (fsck.fat -n)", "copies of the FAT against each other", "the allocation bitmap of exFAT")
	case "ntfs":
		return append(list, "$Bitmap and the bitmap of the MFT (chkdsk)", "link counts", "$MFTMirr, $LogFile and $UsnJrnl", "$Secure's indexes beyond what a lookup reads")
	}
	return append(list, "allocation, link counts and all else that only its own checker looks at")
}

// countsLinks says whether the names of a file are what its link count counts.
func countsLinks(kind string) bool {
	switch kind {
	case "ext2", "ext3", "ext4", "xfs":
		return true
	}
	return false
}

// ownsBlocks says whether a block belongs to one file at most.
func ownsBlocks(kind string, features []string) bool {
	for _, f := range features {
		if f == "shared_blocks" {
			return false
		}
	}
	switch kind {
	case "ext2", "ext3", "ext4", "vfat", "exfat", "ntfs":
		return true
	}
	return false
}
