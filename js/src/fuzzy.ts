/**
 * Where the letters of `query` stand in `text`, in order, or null. A run of letters is preferred to
 * scattered ones, so that "conv1" marks "conv1" in "encoder.conv1". Case and blanks do not count.
 */
export function fuzzy(query: string, text: string): number[] | null {
  const wanted = query.toLowerCase().replaceAll(/\s+/g, "");
  const given = text.toLowerCase();
  const run = given.indexOf(wanted);
  if (run !== -1) return Array.from(wanted, (_, index) => run + index);
  const places: number[] = [];
  let from = 0;
  for (const letter of wanted) {
    const place = given.indexOf(letter, from);
    if (place === -1) return null;
    places.push(place);
    from = place + 1;
  }
  return places;
}
