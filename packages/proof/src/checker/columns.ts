/** Tables of typed arrays that grow, for what there are millions of. */

type TypedArray =
  | Float64Array
  | Int32Array
  | Uint32Array
  | Int16Array
  | Uint16Array
  | Uint8Array

type Constructor = new(length: number) => TypedArray

/** Rows and their columns. A column is read and written as an array, up to `length`. */
export type Table<Name extends string> =
  & { -readonly [Key in Name]: TypedArray }
  & { length: number; capacity: number; readonly names: ReadonlyArray<Name> }

const initialCapacity = 64

/** An empty table. */
export const table = <Name extends string>(
  columns: Readonly<Record<Name, Constructor>>
): Table<Name> => {
  const names = Object.keys(columns) as Array<Name>
  const arrays = names.map((name) => [name, new columns[name](initialCapacity)] as const)
  return {
    ...Object.fromEntries(arrays) as Record<Name, TypedArray>,
    length: 0,
    capacity: initialCapacity,
    names
  } as Table<Name>
}

/** Adds a row of zeros, and gives its number. */
export const addRow = <Name extends string>(rows: Table<Name>): number => addRows(rows, 1)

/** Adds rows of zeros, and gives the number of the first. */
export const addRows = <Name extends string>(rows: Table<Name>, count: number): number => {
  const first = rows.length
  if (first + count > rows.capacity) grow(rows, first + count)
  rows.length = first + count
  return first
}

const grow = <Name extends string>(rows: Table<Name>, needed: number): void => {
  const capacity = Math.max(needed, Math.ceil(rows.capacity * 1.6))
  const columns = rows as Record<Name, TypedArray>
  for (const name of rows.names) {
    const old = columns[name]
    const larger = new (old.constructor as Constructor)(capacity)
    larger.set(old)
    columns[name] = larger
  }
  rows.capacity = capacity
}

/** Numbers by partition and offset, 0 where none was set. Offsets lie close together, mostly. */
export interface ByOffset {
  readonly get: (partition: number, offset: number) => number
  readonly set: (partition: number, offset: number, value: number) => void
}

const chunkRows = 65_536

/** An empty {@link ByOffset}; four bytes for each offset near one that was set. */
export const byOffset = (): ByOffset => {
  const chunks = new Map<number, Int32Array>()
  const keyOf = (partition: number, offset: number) =>
    partition * 2 ** 33 + Math.floor(offset / chunkRows)
  return {
    get: (partition, offset) => chunks.get(keyOf(partition, offset))?.[offset % chunkRows] ?? 0,
    set: (partition, offset, value) => {
      const key = keyOf(partition, offset)
      const chunk = chunks.get(key) ?? new Int32Array(chunkRows)
      chunks.set(key, chunk)
      chunk[offset % chunkRows] = value
    }
  }
}
