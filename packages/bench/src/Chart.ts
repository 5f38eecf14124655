/**
 * A chart of what was done a second, as SVG: a group of bars for each work, drawn to that work's
 * own scale, with the spread of all rounds as a thin line over each bar.
 */
import type { Figure } from "./Figure.ts"

const widthPixels = 760
const labelPixels = 270
const valuePixels = 90
const rowPixels = 22
const barPixels = 14
const titlePixels = 34
const marginPixels = 12

/** The units that a chart shows: what is done a second. */
const isRate = ({ unit }: Figure): boolean => unit.endsWith("/s")

const isOurs = ({ contender }: Figure): boolean =>
  contender.startsWith("kafka-once") ||
  contender.startsWith("ExactlyOnce")

/** Draws the rates among the figures, in their order. */
export const render = (figures: ReadonlyArray<Figure>): string => {
  const works = new Map<string, Array<Figure>>()
  for (const figure of figures.filter(isRate)) {
    const found = works.get(figure.work)
    if (found === undefined) works.set(figure.work, [figure])
    else found.push(figure)
  }
  let at = marginPixels
  const parts: Array<string> = []
  for (const [work, of] of works) {
    parts.push(group(work, of, at))
    at += titlePixels + of.length * rowPixels
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${widthPixels}" ` +
    `height="${at + marginPixels}" viewBox="0 0 ${widthPixels} ${at + marginPixels}" ` +
    `font-family="system-ui, sans-serif" font-size="12">\n<style>\n${style}</style>\n` +
    `<rect class="paper" width="100%" height="100%"/>\n${parts.join("")}</svg>\n`
}

// A reader's page may be dark; an image in it is asked for the same.
const style = `.paper { fill: #ffffff } text { fill: #1f2328 } .quiet { fill: #59636e }
.ours { fill: #0969da } .other { fill: #afb8c1 } .spread { stroke: #1f2328; opacity: 0.55 }
@media (prefers-color-scheme: dark) {
  .paper { fill: #0d1117 } text { fill: #e6edf3 } .quiet { fill: #9198a1 }
  .ours { fill: #4493f8 } .other { fill: #484f58 } .spread { stroke: #e6edf3 }
}
`

const group = (work: string, figures: ReadonlyArray<Figure>, top: number): string => {
  const largest = Math.max(...figures.map(({ max }) => max))
  const unit = figures[0]?.unit ?? ""
  const title = `<text x="${marginPixels}" y="${top + 20}" font-weight="600">${escape(work)}` +
    `<tspan class="quiet" font-weight="400" dx="8">${escape(unit)}</tspan></text>\n`
  const rows = figures.map((figure, nth) =>
    row(figure, top + titlePixels + nth * rowPixels, largest)
  )
  return title + rows.join("")
}

const row = (figure: Figure, top: number, largest: number): string => {
  const room = widthPixels - labelPixels - valuePixels - marginPixels
  const lengthOf = (value: number) => largest > 0 ? round(value / largest * room) : 0
  const middle = top + barPixels / 2
  const [from, to] = [lengthOf(figure.min), lengthOf(figure.max)]
  return `<text x="${labelPixels - 8}" y="${middle + 4}" text-anchor="end">` +
    `${escape(figure.contender)}</text>` +
    `<rect class="${isOurs(figure) ? "ours" : "other"}" x="${labelPixels}" y="${top}" ` +
    `width="${lengthOf(figure.median)}" height="${barPixels}" rx="2"/>` +
    `<line class="spread" x1="${labelPixels + from}" x2="${labelPixels + to}" ` +
    `y1="${middle}" y2="${middle}"/>` +
    `<text x="${widthPixels - marginPixels}" y="${middle + 4}" text-anchor="end">` +
    `${number(figure.median)}</text>\n`
}

const round = (value: number): number => Math.round(value * 10) / 10

const number = (value: number): string =>
  new Intl.NumberFormat("en-US", { maximumFractionDigits: value < 10 ? 1 : 0 }).format(value)

const escape = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")
