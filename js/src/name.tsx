const TAIL = 8;

/** A layer's name on one line: where it is too long the middle goes, the whole is in the title. */
export function Name({ text, marks }: { text: string; marks?: readonly number[] | undefined }) {
  const letters = Array.from(text);
  const cut = letters.length > 2 * TAIL ? letters.length - TAIL : letters.length;
  return (
    <bdi class="cl-name" title={text}>
      <span>{marked(letters, 0, cut, marks)}</span>
      {cut < letters.length && <span>{marked(letters, cut, letters.length, marks)}</span>}
    </bdi>
  );
}

function marked(letters: string[], start: number, end: number, marks?: readonly number[]) {
  if (!marks?.length) return letters.slice(start, end).join("");
  return letters
    .slice(start, end)
    .map((letter, index) => (marks.includes(start + index) ? <mark>{letter}</mark> : letter));
}
