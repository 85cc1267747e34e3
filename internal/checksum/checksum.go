// Package checksum computes the CRC-64/NVME of a file from those of its parts,
// which come and go in any order: a file that travels in parallel is checked
// without being read once more.
//
// The package needs no IAM actions.
package checksum

import (
	"encoding/base64"
	"encoding/binary"
	"io"

	"github.com/minio/crc64nvme"
)

// Sum is the CRC-64/NVME of some bytes. The zero value is that of none.
type Sum struct {
	CRC   uint64
	Bytes int64
}

// Add takes further bytes in.
func (s *Sum) Add(p []byte) {
	s.CRC = crc64nvme.Update(s.CRC, p)
	s.Bytes += int64(len(p))
}

// Write implements io.Writer by Add; it never fails.
func (s *Sum) Write(p []byte) (int, error) {
	s.Add(p)
	return len(p), nil
}

// String is the sum as S3 and Parqueue write it: 8 bytes, most significant
// first, in base64.
func (s Sum) String() string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, s.CRC))
}

// Of reads r to its end. size is about what it has: what is small needs no large
// buffer, and there may be a hundred thousand of it.
func Of(r io.Reader, size int64) (Sum, error) {
	var s Sum
	_, err := io.CopyBuffer(&s, struct{ io.Reader }{r}, make([]byte, min(max(size, 1)+1, 256<<10)))
	return s, err
}

// Join is the sum of the bytes of a and, behind them, those of b.
//
// A CRC is a remainder of polynomials over GF(2), and what it begins and ends with
// (all bits inverted) cancels out here: so many zero bytes behind a are a
// multiplication by x^(8·bytes), and then b is added. zlib's crc32_combine does the
// same: https://stackoverflow.com/a/23126768
func Join(a, b Sum) Sum {
	return Sum{CRC: multiply(a.CRC, power(b.Bytes)) ^ b.CRC, Bytes: a.Bytes + b.Bytes}
}

// polynomial is CRC-64/NVME's with its bits reversed, as all values here are: the
// highest bit is x^0.
const polynomial = 0x9a6c9329ac4bc9b5

const one = uint64(1) << 63

// multiply gives a·b modulo the polynomial.
func multiply(a, b uint64) uint64 {
	var product uint64
	for ; a != 0; a <<= 1 {
		if a&one != 0 {
			product ^= b
		}
		b = timesX(b)
	}
	return product
}

func timesX(v uint64) uint64 {
	if v&1 != 0 {
		return v>>1 ^ polynomial
	}
	return v >> 1
}

// power gives x^(8·bytes) modulo the polynomial, by squaring.
func power(bytes int64) uint64 {
	result, square := one, one>>8 // x^0, x^8
	for ; bytes > 0; bytes >>= 1 {
		if bytes&1 != 0 {
			result = multiply(result, square)
		}
		square = multiply(square, square)
	}
	return result
}
