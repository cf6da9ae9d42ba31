import "@mantine/charts/styles.css"

export { AreaChart, BarChart, LineChart } from "@mantine/charts"
