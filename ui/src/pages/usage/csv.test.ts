import { expect, test } from "vitest"

import { csvOf } from "./csv"

test("a cell that a spreadsheet would run as a formula is text", () => {
  for (const bad of ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "\r=1"])
    expect(csvOf(["a"], [[bad]])).toContain(`'${bad.trimEnd()}`)
  expect(csvOf(["a"], [[-1.5]])).toBe("a\r\n-1.5\r\n")
})

test("quotes, commas and lines stay in their cell", () => {
  expect(
    csvOf(
      ["a", "b"],
      [
        ['say "x"', "1,2"],
        ["x\ny", null],
      ],
    ),
  ).toBe('a,b\r\n"say ""x""","1,2"\r\n"x\ny",\r\n')
})
