/** The chart library comes with the first chart: it is as large as all else together. */
import { Skeleton } from "@mantine/core"
import { type ComponentProps, lazy, Suspense } from "react"

import type * as Real from "./charts-loaded"

const load = () => import("./charts-loaded")
const LazyArea = lazy(async () => ({ default: (await load()).AreaChart }))
const LazyLine = lazy(async () => ({ default: (await load()).LineChart }))
const LazyBar = lazy(async () => ({ default: (await load()).BarChart }))

export const AreaChart = (props: ComponentProps<typeof Real.AreaChart>) => (
  <Suspense fallback={<Skeleton h={props.h as number} />}>
    <LazyArea {...props} />
  </Suspense>
)
export const LineChart = (props: ComponentProps<typeof Real.LineChart>) => (
  <Suspense fallback={<Skeleton h={props.h as number} />}>
    <LazyLine {...props} />
  </Suspense>
)
export const BarChart = (props: ComponentProps<typeof Real.BarChart>) => (
  <Suspense fallback={<Skeleton h={props.h as number} />}>
    <LazyBar {...props} />
  </Suspense>
)
