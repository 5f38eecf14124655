/** Groups elements by a key, in the order in which each key is first met. */
export const groupBy = <A, K>(
  elements: ReadonlyArray<A>,
  keyOf: (element: A) => K
): ReadonlyMap<K, ReadonlyArray<A>> => {
  const groups = new Map<K, Array<A>>()
  for (const element of elements) {
    const key = keyOf(element)
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [element])
    else group.push(element)
  }
  return groups
}
