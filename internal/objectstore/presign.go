package objectstore

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/parqueue/parqueue/internal/fault"
)

// Bounds of how long a presigned URL is good for. It also ends with the
// credentials that signed it.
const (
	minExpiry = time.Second
	maxExpiry = 15 * time.Minute
)

// PresignGet signs a URL for one object. expires is kept between a second and
// 15 minutes.
func (s *Store) PresignGet(ctx context.Context, key, fileName string, expires time.Duration) (string, error) {
	request, err := s.presign.PresignGetObject(ctx, &s3.GetObjectInput{
		Bucket:                     &s.bucket,
		Key:                        &key,
		ResponseContentType:        aws.String(contentType),
		ResponseContentDisposition: aws.String(Attachment(fileName)),
	}, func(o *s3.PresignOptions) {
		o.Expires = min(max(expires, minExpiry), maxExpiry)
		o.ClientOptions = append(o.ClientOptions, func(o *s3.Options) {
			// Otherwise the URL is only good together with a header.
			o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		})
	})
	if err != nil {
		return "", fault.Internal("signing a download URL", err)
	}
	return request.URL, nil
}

// Attachment is the Content-Disposition under which a browser saves a file as
// fileName: in plain ASCII with doubtful characters replaced and, where that
// changes the name, exactly in the extended form, which browsers prefer. No
// name, whatever is in it, can end the header or add a parameter to it.
// https://www.rfc-editor.org/rfc/rfc6266#section-4.3
func Attachment(fileName string) string {
	fileName = strings.ToValidUTF8(fileName, "\ufffd")
	plain := strings.Map(plainRune, fileName)
	header := `attachment; filename="` + plain + `"`
	if plain == fileName {
		return header
	}
	return header + "; filename*=UTF-8''" + percentEncoded(fileName)
}

// plainRune replaces what a quoted-string would have to escape, what some
// clients decode although they shouldn't ("%"), and what is a path to some.
func plainRune(r rune) rune {
	if r < ' ' || r >= 0x7f || strings.ContainsRune(`"\%/`, r) {
		return '_'
	}
	return r
}

// percentEncoded keeps the attr-char of RFC 8187 and encodes every other byte.
func percentEncoded(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		alphanumeric := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if c < utf8.RuneSelf && (alphanumeric || strings.IndexByte("!#$&+-.^_`|~", c) >= 0) {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String()
}
