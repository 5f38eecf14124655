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

/** The bytes that a table holds on to. */
export const bytesOf = <Name extends string>(rows: Table<Name>): number =>
  rows.names.reduce((sum, name) => sum + (rows as Record<Name, TypedArray>)[name].byteLength, 0)
