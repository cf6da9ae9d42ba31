import "@mantine/core/styles.css"
import "@mantine/notifications/styles.css"
import "@mantine/spotlight/styles.css"
import "./app/base.css"

import { createRoot } from "react-dom/client"

import { App } from "./app/App"
import { startText } from "./text"

await startText()
createRoot(document.getElementById("root")!).render(<App />)
