import { useUrl } from "../../parts/url"
import { Clients } from "../connect/Clients"
import type { Project } from "./shapes"

/** How clients use this project: recipes with the models that it may ask for. */
export function ConnectTab({ project }: { project: Project }) {
  const [url, setUrl] = useUrl({ client: "", model: "", q: "" })
  return <Clients project={project.name} chosen={url} onChoose={setUrl} />
}
