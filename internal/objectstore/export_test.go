package objectstore

// CopyInParts has objects of more than whole bytes copied in parts of part bytes,
// where S3 would copy gigabytes in one request.
func (i *Inbox) CopyInParts(whole, part int64) *Inbox {
	i.sizes = copySizes{whole: whole, part: part}
	return i
}
