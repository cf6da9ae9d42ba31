import { useParams } from "react-router"

import { Detail } from "./Detail"
import { ProjectList } from "./ProjectList"

/** `#/projects`: all of them; `#/projects/NAME`: one. */
export default function Projects() {
  const name = useParams()["*"]
  return name ? <Detail name={name} /> : <ProjectList />
}
