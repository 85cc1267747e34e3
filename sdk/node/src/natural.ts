/** Orders names as people do, as the command line does: part-2 comes before part-10. Runs of digits are compared as numbers, everything else byte by byte. */
export function compareNames(a: string, b: string): number {
  let x = Buffer.from(a).toString('latin1') // bytes, so that the order is that of UTF-8
  let y = Buffer.from(b).toString('latin1')
  const whole = compare(x, y)
  while (x !== '' && y !== '') {
    const m = /^[0-9]+/.exec(x)?.[0]
    const n = /^[0-9]+/.exec(y)?.[0]
    if (m !== undefined && n !== undefined) {
      x = x.slice(m.length)
      y = y.slice(n.length)
      const order = compareNumbers(m.replace(/^0+/, ''), n.replace(/^0+/, ''))
      if (order !== 0) return order
      continue
    }
    const order = compare(x[0]!, y[0]!)
    if (order !== 0) return order
    x = x.slice(1)
    y = y.slice(1)
  }
  return Math.sign(x.length - y.length) || whole
}

/** compareNames folder by folder: what is in a folder stays together. */
export function comparePaths(a: string, b: string): number {
  const x = a.split('/')
  const y = b.split('/')
  for (let i = 0; i < Math.min(x.length, y.length); i++) {
    const order = compareNames(x[i]!, y[i]!)
    if (order !== 0) return order
  }
  return Math.sign(x.length - y.length)
}

function compareNumbers(m: string, n: string): number {
  return Math.sign(m.length - n.length) || compare(m, n)
}

function compare(x: string, y: string): number {
  return x < y ? -1 : x > y ? 1 : 0
}
