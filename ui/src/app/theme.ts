import { type CSSVariablesResolver, createTheme, type MantineColorsTuple } from "@mantine/core"

const brand: MantineColorsTuple = [
  "#eef0fd",
  "#dadefa",
  "#b3bbf4",
  "#8995ee",
  "#6675e8",
  "#5162e0",
  "#4c5fd5",
  "#3c4cb3",
  "#333f92",
  "#283272",
]

const dark: MantineColorsTuple = [
  "#d7d9de",
  "#b6bac3",
  "#979ca8",
  "#747a88",
  "#3a3f4b",
  "#2a2e38",
  "#20242c",
  "#16191f",
  "#101217",
  "#0b0d10",
]

/** Calm: one accent colour, thin lines, the system's own font. Contrast is measured by the tests (axe), both themes. */
export const theme = createTheme({
  primaryColor: "brand",
  primaryShade: { light: 7, dark: 5 },
  colors: { brand, dark },
  autoContrast: true,
  fontFamily: 'system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif',
  fontFamilyMonospace: 'ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace',
  defaultRadius: "md",
  cursorType: "pointer",
  fontSizes: { xs: "0.75rem", sm: "0.8375rem", md: "0.9375rem", lg: "1.0625rem", xl: "1.25rem" },
  components: {
    Button: { defaultProps: { size: "xs" } },
    ActionIcon: { defaultProps: { variant: "subtle", color: "gray", size: "md" } },
    TextInput: { defaultProps: { size: "sm" } },
    Select: { defaultProps: { size: "sm" } },
    Table: {
      defaultProps: { verticalSpacing: 7, horizontalSpacing: "sm", highlightOnHover: true, fz: "sm" },
    },
    Badge: { defaultProps: { variant: "light", radius: "sm", tt: "none", fw: 500 } },
    Tooltip: {
      defaultProps: { openDelay: 300, withArrow: true, events: { hover: true, focus: true, touch: true } },
    },
    Card: { defaultProps: { withBorder: true, padding: "md" } },
    Modal: {
      defaultProps: { centered: false, yOffset: "8vh", overlayProps: { backgroundOpacity: 0.4, blur: 1 } },
    },
    Drawer: { defaultProps: { position: "right", overlayProps: { backgroundOpacity: 0.2 } } },
    Anchor: { defaultProps: { underline: "hover" } },
  },
})

const onLight = {
  teal: "#05604a",
  green: "#1f6b2e",
  yellow: "#7a4d00",
  orange: "#963107",
  red: "#a61e1e",
  blue: "#145592",
  gray: "#4b525a",
}

/** Secondary text, links, and text on light tints, with a contrast of 4.5 and more on every background they stand on. */
export const variables: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    "--mantine-color-dimmed": "#5b626b",
    "--mantine-color-placeholder": "#6b727b",
    ...Object.fromEntries(
      Object.entries(onLight).map(([name, text]) => [`--mantine-color-${name}-light-color`, text]),
    ),
  },
  dark: {
    "--mantine-color-dimmed": "#a3a8b4",
    "--mantine-color-placeholder": "#8d93a1",
    "--mantine-color-anchor": "#98a2f3",
  },
})
