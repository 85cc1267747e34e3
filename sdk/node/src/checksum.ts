/**
 * CRC-64/NVME by tables, eight bytes at a time and in 32-bit halves: BigInt is a
 * hundred times slower, and Node has none of its own. Sums of parts that came in
 * any order are joined into that of the whole.
 */

const polynomialHigh = 0x9a6c9329
const polynomialLow = 0xac4bc9b5

// low[k][b] and high[k][b]: what byte b adds k bytes further on.
const low: Int32Array[] = []
const high: Int32Array[] = []
for (let k = 0; k < 8; k++) {
  const l = new Int32Array(256)
  const h = new Int32Array(256)
  for (let b = 0; b < 256; b++) {
    if (k > 0) {
      const before = low[k - 1]![b]!
      const beforeHigh = high[k - 1]![b]!
      const byte = before & 255
      l[b] = ((before >>> 8) | (beforeHigh << 24)) ^ low[0]![byte]!
      h[b] = (beforeHigh >>> 8) ^ high[0]![byte]!
      continue
    }
    let valueLow = b
    let valueHigh = 0
    for (let bit = 0; bit < 8; bit++) {
      const carry = valueLow & 1
      valueLow = (valueLow >>> 1) | (valueHigh << 31)
      valueHigh >>>= 1
      if (carry) {
        valueLow ^= polynomialLow
        valueHigh ^= polynomialHigh
      }
    }
    l[b] = valueLow
    h[b] = valueHigh
  }
  low.push(l)
  high.push(h)
}
const [l0, l1, l2, l3, l4, l5, l6, l7] = low as [Int32Array, Int32Array, Int32Array, Int32Array, Int32Array, Int32Array, Int32Array, Int32Array]
const [h0, h1, h2, h3, h4, h5, h6, h7] = high as [Int32Array, Int32Array, Int32Array, Int32Array, Int32Array, Int32Array, Int32Array, Int32Array]

// Words of eight bytes are read as the machine has them.
const littleEndian = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1

/** The CRC-64/NVME of some bytes; a new one is that of none. */
export class Checksum {
  #low = -1
  #high = -1
  #bytes = 0

  /** How many bytes were taken in. */
  get bytes(): number {
    return this.#bytes
  }

  /** Takes further bytes in. */
  update(data: Uint8Array): this {
    let sumLow = this.#low
    let sumHigh = this.#high
    let at = 0
    const end = data.length
    const aligned = littleEndian ? Math.min(end, (4 - (data.byteOffset & 3)) & 3) : end
    for (; at < aligned; at++) {
      const b = (sumLow ^ data[at]!) & 255
      sumLow = ((sumLow >>> 8) | (sumHigh << 24)) ^ l0[b]!
      sumHigh = (sumHigh >>> 8) ^ h0[b]!
    }
    if (end - at >= 8) {
      const words = new Int32Array(data.buffer, data.byteOffset + at, (end - at) >>> 3 << 1)
      const count = words.length
      for (let i = 0; i < count; i += 2) {
        const a = sumLow ^ words[i]!
        const b = sumHigh ^ words[i + 1]!
        const a0 = a & 255, a1 = (a >>> 8) & 255, a2 = (a >>> 16) & 255, a3 = a >>> 24
        const b0 = b & 255, b1 = (b >>> 8) & 255, b2 = (b >>> 16) & 255, b3 = b >>> 24
        sumLow = l7[a0]! ^ l6[a1]! ^ l5[a2]! ^ l4[a3]! ^ l3[b0]! ^ l2[b1]! ^ l1[b2]! ^ l0[b3]!
        sumHigh = h7[a0]! ^ h6[a1]! ^ h5[a2]! ^ h4[a3]! ^ h3[b0]! ^ h2[b1]! ^ h1[b2]! ^ h0[b3]!
      }
      at += count * 4
    }
    for (; at < end; at++) {
      const b = (sumLow ^ data[at]!) & 255
      sumLow = ((sumLow >>> 8) | (sumHigh << 24)) ^ l0[b]!
      sumHigh = (sumHigh >>> 8) ^ h0[b]!
    }
    this.#low = sumLow
    this.#high = sumHigh
    this.#bytes += end
    return this
  }

  /** Takes in the sum of the bytes that come next. */
  append(next: Checksum): this {
    // So many zero bytes behind these are a multiplication by x^(8·bytes); what a
    // CRC begins and ends with cancels out. https://stackoverflow.com/a/23126768
    const product = multiply({ low: ~this.#low, high: ~this.#high }, power(next.#bytes))
    this.#low = ~(product.low ^ ~next.#low)
    this.#high = ~(product.high ^ ~next.#high)
    this.#bytes += next.#bytes
    return this
  }

  /** As S3 and Parqueue write it: 8 bytes, most significant first, in base64. */
  toString(): string {
    const bytes = Buffer.alloc(8)
    bytes.writeInt32BE(~this.#high, 0)
    bytes.writeInt32BE(~this.#low, 4)
    return bytes.toString('base64')
  }
}

/** A polynomial over GF(2), the highest bit of `high` being x^0. */
interface Polynomial { low: number, high: number }

function multiply(a: Polynomial, b: Polynomial): Polynomial {
  let { low: aLow, high: aHigh } = a
  let { low: bLow, high: bHigh } = b
  let productLow = 0
  let productHigh = 0
  while ((aLow | aHigh) !== 0) {
    if (aHigh < 0) {
      productLow ^= bLow
      productHigh ^= bHigh
    }
    aHigh = (aHigh << 1) | (aLow >>> 31)
    aLow <<= 1
    const carry = bLow & 1
    bLow = (bLow >>> 1) | (bHigh << 31)
    bHigh >>>= 1
    if (carry) {
      bLow ^= polynomialLow
      bHigh ^= polynomialHigh
    }
  }
  return { low: productLow, high: productHigh }
}

/** x^(8·bytes) modulo the polynomial, by squaring. */
function power(bytes: number): Polynomial {
  let result: Polynomial = { low: 0, high: 1 << 31 }
  let square: Polynomial = { low: 0, high: 1 << 23 }
  for (let n = bytes; n > 0; n = Math.floor(n / 2)) {
    if (n % 2 === 1) result = multiply(result, square)
    square = multiply(square, square)
  }
  return result
}
